"""Where the weights of a backbone of timm come from: a given file, or the Hugging Face hub, through
its own client, which keeps them in a cache.
"""

from pathlib import Path
from typing import Any

from apc_bench.errors import WeightsError
from apc_bench.networks.timm_models import configuration, network_of
from apc_bench.networks.weights import Weights, sum_of

SAFE = {"pytorch_model.bin": "model.safetensors"}
SAFE["open_clip_pytorch_model.bin"] = "open_clip_model.safetensors"
"""Names of weights files that may hold code -> those of the same weights that cannot."""


def resolve(backbone: str, *, file: Path | None, cache: Path, fetch: bool) -> Weights:
    """The weights of a backbone of timm: `file` where given, else the hub's, from its cache on this
    machine or `cache`/weights/hub, else a download to there.

    Raises `UsageError` without timm or for a name that it does not know, `WeightsError` where the
    file cannot be read or had (or may not: `fetch` False).
    """
    network = network_of(backbone)
    if file is not None:
        return Weights(file, sum_of(file), f"file {file.name}", network)
    source = _Source(backbone)
    path = source.cached(cache)
    if path is None:
        if not fetch:
            raise WeightsError(f"{source.needed}, and downloads are off; {source.by_hand}")
        path = source.download(cache)
    return Weights(path, sum_of(path), f"{source.address} (licence: {source.licence})", network)


def describe(backbone: str, *, given: bool, cache: Path) -> str | None:
    """What `resolve` would download, in one line, or None when all is at hand. `given`: whether a
    file is. Raises as `resolve` does.
    """
    configuration(backbone)
    if given:
        return None
    source = _Source(backbone)
    if source.cached(cache) is not None:
        return None
    return f"{source.needed}; downloaded once, to {_folder(cache)}; licence: {source.licence}"


def _folder(cache: Path) -> Path:
    return cache.expanduser().absolute() / "weights" / "hub"


class _Source:
    """A backbone's weights on the hub. Raises `WeightsError` where it has none."""

    def __init__(self, backbone: str) -> None:
        configured: Any = configuration(backbone)
        self.backbone = backbone
        if not configured.hf_hub_id:
            where = f"only at {configured.url}" if configured.url else "nowhere"
            raise WeightsError(
                f"timm has weights for backbone '{backbone}' {where}, not on the Hugging Face hub;"
                f" {self.by_hand}"
            )
        self.repository, _, self.revision = configured.hf_hub_id.partition("@")
        named = configured.hf_hub_filename or "pytorch_model.bin"
        self.files = [SAFE[named], named] if named in SAFE else [named]
        self.address = f"https://huggingface.co/{configured.hf_hub_id}"
        self.licence = configured.license or f"as {self.address} says"

    @property
    def needed(self) -> str:
        """The first half of a message."""
        return f"backbone '{self.backbone}' needs weights from {self.address}"

    @property
    def by_hand(self) -> str:
        """What to do without a network."""
        return "name their file (.safetensors or .pth) with --weights FILE"

    def cached(self, cache: Path) -> Path | None:
        """The file, where the hub's client has it already."""
        from huggingface_hub import try_to_load_from_cache

        for name in self.files:
            for folder in (_folder(cache), None):  # None: the hub's own, which other programs fill
                found = try_to_load_from_cache(
                    self.repository, name, cache_dir=folder, revision=self.revision or None
                )
                if isinstance(found, str):
                    return Path(found)
        return None

    def download(self, cache: Path) -> Path:
        """Downloads the file to the cache."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
        from huggingface_hub.utils import logging

        logging.set_verbosity_error()  # each of its retries else is a line; the last fault is ours
        fault: Exception | None = None
        for name in self.files:
            try:
                return Path(
                    hf_hub_download(
                        self.repository,
                        name,
                        cache_dir=_folder(cache),
                        revision=self.revision or None,
                    )
                )
            except LocalEntryNotFoundError as error:
                fault = error
                break
            except EntryNotFoundError as error:  # the next name may be there
                fault = error
            # A network, the hub or the disk may fail in ways that its client does not document.
            except Exception as error:
                fault = error
                break
        reason = " ".join(str(fault).split())[:200]
        raise WeightsError(
            f"{self.needed}, which cannot be had ({type(fault).__name__}: {reason}); {self.by_hand}"
        ) from fault
