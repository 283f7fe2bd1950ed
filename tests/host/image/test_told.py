"""What the audit hears of images: each that came, stood in, failed or went, and no more."""

from pathlib import Path

import pytest

from contract.errors import SheltieError
from contract.event import Event, ImageFailed, ImagePulled, ImageReady, ImageRemoved
from host.image.images import Images
from tests.host.image import tiny
from tests.host.image.conftest import LIMITS, plain
from tests.host.image.registry import Registry


async def test_an_images_life_is_told(tmp_path: Path, layout: Path, registry: Registry) -> None:
    """Pulled once, stood in for while the registry is down, removed when another took its place."""
    digest = registry.push(layout, "tiny:1")
    heard: list[Event] = []
    tagged, other = f"{registry.place}/tiny:1", f"{registry.place}/other:1"
    (tmp_path / "state").mkdir()
    policy = '{"default": [{"type": "insecureAcceptAnything"}]}'
    (tmp_path / "state/policy.json").write_text(policy)
    images = Images(
        tmp_path / "state",
        tmp_path / "run",
        lambda: plain(registry.place),
        LIMITS,
        note=heard.append,
    )
    images.sweep()
    await images.get(tagged, container="admin")
    await images.get(tagged, container="admin")
    assert heard == [ImagePulled(tagged, digest)]
    images.good("admin")

    registry.stop()
    for _ in range(2):
        with pytest.raises(SheltieError):
            await images.get(other, container="fresh")
    failed = [event for event in heard[1:] if isinstance(event, ImageFailed)]
    assert [event.source for event in failed] == [other]
    image = await images.get(tagged, container="admin")
    assert image.digest == digest
    assert isinstance(heard[-1], ImageReady)

    tiny.write(layout, ("sleep", "7"), tag="next")
    fresh = await images.get(f"oci:{layout}:next", container="admin")
    images.good("admin")
    gone = await images.collect({"admin": fresh.digest})
    assert gone == [digest]
    assert heard[-2:] == [ImagePulled(f"oci:{layout}:next", fresh.digest), ImageRemoved(digest)]
    await images.close()
