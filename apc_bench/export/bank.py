"""Memory banks for other tools: faiss' flat index, named and laid out as patchcore-inspection's
scorer reads it, with a table of where each vector was seen.
"""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import polars as pl

from apc_bench.errors import UsageError
from apc_bench.export.chosen import ExportedTrials, result_key_of
from apc_bench.export.folder import new_folder
from apc_bench.results.aggregate import Results
from apc_bench.runner.refit import bank_of
from apc_bench.settings.backbones import BACKBONES
from apc_bench.settings.detectors import PatchCoreSettings
from apc_bench.settings.sweep import Method, Sweep
from apc_bench.store.cache import Cache
from apc_bench.store.run import Run
from apc_bench.store.trials import StoredBank

INDEX, PARAMETERS = "nnscorer_search_index.faiss", "patchcore_params.pkl"
"""As patchcore-inspection names them (PatchCore.save_to_path)."""

ORIGINS = "origins.parquet"

THEIR_NAMES = {"resnet50": "resnet50", "wide_resnet50_2": "wideresnet50"}
"""Our backbones that patchcore-inspection has with the same weights -> its names for them."""

DISTANCES = "a search gives squared L2 distances; number i of the index is row i of origins.parquet"


def export_banks(
    results: Results, run: Run, trials: ExportedTrials, cache: Cache, data: Path | None, out: Path
) -> Iterator[str]:
    """Writes of each category OUT/CATEGORY/nnscorer_search_index.faiss and origins.parquet, with
    patchcore_params.pkl where patchcore-inspection has the same extractor, and OUT/export.json;
    says what. `data`: the dataset's folder.

    Raises UsageError where the trials have no bank that can be had, and where `out` holds
    anything; RunError where a trial has no result; as `refit` does; StorageError.
    """
    method = Sweep.model_validate(run.info.settings).methods[trials.system.method]
    if not isinstance(method.settings, PatchCoreSettings):
        raise UsageError(f"'{trials.system.method}' ({method.detector}) has no memory bank")
    sha256 = run.info.weights.get(trials.system.method, {}).get("sha256")
    parameters = _parameters(method, str(sha256), int(results.settings["image_size"]))
    keys = {
        category: result_key_of(results, trials.system, category, trials.seed)
        for category in trials.categories
    }
    exported = {}
    with new_folder(out) as folder:
        for category, key in keys.items():
            said: list[str] = []
            bank, origin = bank_of(run, key, cache, data, say=said.append)
            yield from said
            _write(bank, parameters, folder / category)
            exported[category] = {"vectors": len(bank), "origin": origin}
            yield f"{category}: memory bank of {len(bank)} vectors, {origin}"
        about = _about(results, trials, parameters, exported)
        text = json.dumps(about, indent=2, ensure_ascii=False)
        (folder / "export.json").write_text(text + "\n", encoding="utf-8")
    if not parameters:
        yield f"without {PARAMETERS}: {_extractor(parameters)}"
    yield f"memory banks: {out}"


def _write(bank: StoredBank, parameters: dict[str, Any] | None, folder: Path) -> None:
    folder.mkdir()
    index = faiss.IndexFlatL2(bank.vectors.shape[1])
    index.add(bank.vectors)
    faiss.write_index(index, str(folder / INDEX))
    seen = {"image": bank.images, "row": bank.rows, "column": bank.columns}
    pl.DataFrame(seen).write_parquet(folder / ORIGINS)
    if parameters:
        with (folder / PARAMETERS).open("wb") as file:
            pickle.dump(parameters, file)


def _parameters(method: Method, sha256: str, image_size: int) -> dict[str, Any] | None:
    """What patchcore-inspection makes the extractor from; None where its own has other weights."""
    settings = method.settings
    assert isinstance(settings, PatchCoreSettings)
    name = THEIR_NAMES.get(method.backbone)
    published = BACKBONES[method.backbone].sha256_prefix if name else None
    if not published or method.detector != "patchcore" or not sha256.startswith(published):
        return None
    return {
        "backbone.name": name,
        "layers_to_extract_from": list(settings.layers),
        "input_shape": (3, image_size, image_size),
        "pretrain_embed_dimension": settings.pretrain_dim,
        "target_embed_dimension": settings.target_dim,
        "patchsize": settings.neighbourhood,
        "patchstride": 1,
        "anomaly_scorer_num_nn": 1,
    }


def _extractor(parameters: dict[str, Any] | None) -> str:
    if parameters:
        return f"{parameters['backbone.name']}, which patchcore-inspection makes itself"
    return (
        "patchcore-inspection has no extractor with these weights; its scorer reads the index, and"
        " wants features of the extractor that filled it"
    )


def _about(
    results: Results,
    trials: ExportedTrials,
    parameters: dict[str, Any] | None,
    exported: dict[str, Any],
) -> dict[str, Any]:
    """What export.json says; `exported`: by category."""
    return {
        "dataset": results.dataset,
        "system": trials.system.label,
        "method": trials.system.method,
        "shots": trials.system.shots,
        results.seed_words[0]: trials.seed,
        "backbone": trials.system.backbone,
        "extractor": _extractor(parameters),
        "index": DISTANCES,
        "categories": exported,
    }
