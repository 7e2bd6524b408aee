"""What a model of anomalib learns from, as Lightning wants it: our images and masks, at the sweep's
size, in anomalib's batches.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from anomalib.data import ImageBatch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler
from torchvision.transforms.v2 import Resize
from torchvision.tv_tensors import Image, Mask

from apc_bench.detectors.protocol import Images, Training

QUANTILE_SHARE = 10
"""EfficientAd scales its two maps by quantiles on normal photos that it did not learn from: one of
so many of those to learn from, by whole groups.
"""


class Photos(LightningDataModule):  # type: ignore[misc]
    """Normal images and, for a model that learns from them, the drawn images that have a mask.

    With drawn images an epoch holds each of them, and as many normal ones, in turn; as the authors
    of SuperSimpleNet do. Else it holds all normal images. `side`: of the images that the model
    takes, which some of its code expects from here.
    """

    def __init__(
        self,
        data: Training,
        normal: Images,
        *,
        side: int,
        anomalous: bool,
        batch_size: int,
        scaling: bool,
    ) -> None:
        super().__init__()
        self.side = side
        self.train_batch_size = batch_size
        self.normal, self.scaling = normal, None
        if scaling:
            self.normal, self.scaling = _tenth_apart(normal, data.seed)
        chosen = np.flatnonzero(data.masked) if anomalous else np.zeros(0, np.int64)
        self.anomalous, self.masks = data.anomalous.at(chosen), data.masks[chosen]

    def train_dataloader(self) -> DataLoader[int]:
        """In random order, from torch's random numbers."""
        count, drawn = len(self.normal), len(self.anomalous)
        order = _Balanced(count, drawn) if drawn else None
        return DataLoader(
            range(count + drawn),  # type: ignore[arg-type]
            batch_size=self.train_batch_size,
            sampler=order,
            shuffle=order is None,
            collate_fn=self._batch,
        )

    def val_dataloader(self) -> DataLoader[int]:
        """The images that scale, in their order."""
        assert self.scaling is not None
        images = self.scaling

        def batch(positions: Sequence[int]) -> ImageBatch:
            return self._image_batch(images.at(positions).pixels(), self.masks[:0])

        return DataLoader(
            range(len(images)),  # type: ignore[arg-type]
            batch_size=self.train_batch_size,
            collate_fn=batch,
        )

    def _batch(self, positions: Sequence[int]) -> ImageBatch:
        count = len(self.normal)
        normal = [position for position in positions if position < count]
        drawn = [position - count for position in positions if position >= count]
        pixels = self.normal.at(normal).pixels()
        if drawn:
            pixels = np.concatenate([pixels, self.anomalous.at(drawn).pixels()])
        return self._image_batch(pixels, self.masks[drawn])

    def _image_batch(self, pixels: NDArray[np.uint8], masks: NDArray[np.bool_]) -> ImageBatch:
        """anomalib's batch of images (n, 3, s, s), of which the last ones have masks (k, s, s) and
        are anomalous.
        """
        count, drawn = len(pixels), len(masks)
        whole = torch.zeros((count, *pixels.shape[2:]), dtype=torch.bool)
        whole[count - drawn :] = torch.from_numpy(masks)
        resize = Resize((self.side, self.side), antialias=True)
        image, mask = resize(Image(torch.from_numpy(pixels).float().div_(255)), Mask(whole))
        return ImageBatch(image=image, gt_mask=mask, gt_label=torch.arange(count) >= count - drawn)


class _Balanced(Sampler[int]):
    """Each drawn image, and as many normal ones, in random order; the normal ones go on from epoch
    to epoch, so that all are seen equally often.
    """

    def __init__(self, normal: int, drawn: int) -> None:
        self.normal, self.drawn = normal, drawn
        self.queue: list[int] = []

    def __len__(self) -> int:
        return 2 * self.drawn

    def __iter__(self) -> Iterator[int]:
        while len(self.queue) < self.drawn:
            self.queue += torch.randperm(self.normal).tolist()
        normal, self.queue = self.queue[: self.drawn], self.queue[self.drawn :]
        everyone = [*normal, *range(self.normal, self.normal + self.drawn)]
        yield from (everyone[place] for place in torch.randperm(len(everyone)).tolist())


def _tenth_apart(images: Images, seed: int) -> tuple[Images, Images]:
    """Most of the images, and about a tenth by whole groups; at least one of each where there are
    two groups.
    """
    names = sorted(set(images.groups))
    order = np.random.default_rng([seed, 2]).permutation(len(names))
    apart = {names[place] for place in order[: max(1, len(names) // QUANTILE_SHARE)]}
    among = np.array([group in apart for group in images.groups], bool)
    if among.all():
        return images, images
    return images.at(np.flatnonzero(~among)), images.at(np.flatnonzero(among))
