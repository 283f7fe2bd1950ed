"""Which kind of host is at the other end of the API: one of ours, or a stock one."""

from pathlib import Path

from contract.apiclient.client import HostApi
from contract.errors import NotFoundError
from control.host import STATUS_URI, Host
from control.ours import OurHost
from control.remembered import Remembered
from control.stock import StockHost

__all__ = ["find"]


def find(api: HostApi, persistent: Path) -> Host:
    """Return the host at the other end of `api`; `persistent` is control's own directory.

    A stock host answers 404 to our extensions. Raises SheltieError.
    """
    try:
        api.call("GET", STATUS_URI)
    except NotFoundError:
        return StockHost(api, Remembered(persistent))
    return OurHost(api)
