"""A run put into MLflow, through its client (the extra `mlflow`): parameters, metrics by category
and seed, tables and page. The same run again adds what is new, and nothing twice.
"""

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from apc_bench.errors import StorageError, UsageError
from apc_bench.export.tracked import RUNNING, TrackedRun, TrackedTrial
from apc_bench.wording import counted

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

TAG = "apc_bench."
"""In front of our tags; `apc_bench.run` finds the run again."""

CONNECTING = 5.0
"""Seconds that a server has to take a connection."""

METRICS_AT_ONCE, OTHERS_AT_ONCE = 1000, 100
"""Of metrics, and of parameters or tags, that MLflow takes in one request."""

QUICK = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Variables of its client that are set where the user has not: it would try again for minutes, and
tell its makers that it was used.
"""


def export_to_mlflow(
    tracked: TrackedRun, uri: str, experiment: str, page: Callable[[], Path]
) -> Iterator[str]:
    """Makes the run in the experiment of the server or store at `uri`, or brings the one that is
    there up to date; says what. `page`: of a report, with `tables/` beside it.

    Raises UsageError where MLflow is not installed, or nothing at `uri` answers as it does;
    StorageError where it ceases to.
    """
    with _quick():
        client = _client(uri)
        with _told(UsageError, f"no MLflow at {_shown(uri)}"):
            place = _experiment(client, experiment)
            found = _find(client, tracked, place)
        index = page()
        with _told(StorageError, f"MLflow at {_shown(uri)} did not take all of the run; again"):
            known = found or _begin(client, tracked, place)
            new = _bring_up_to_date(client, known, tracked)
            client.log_artifact(known.info.run_id, str(index), "report")
            client.log_artifacts(known.info.run_id, str(index.parent / "tables"), "report/tables")
            if tracked.status == RUNNING:
                client.update_run(known.info.run_id, status=RUNNING)
            else:
                client.set_terminated(known.info.run_id, tracked.status, tracked.ended)
    there = "updated" if found else "made"
    yield f"{there}: {counted(new, 'new trial')}, {tracked.done - new} were there before"
    yield f"MLflow run: {_address(uri, known)}"


def _client(uri: str) -> "MlflowClient":
    """Raises UsageError where the extra is missing, the URI is none of MLflow's, or no server
    listens there.
    """
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise UsageError(
            "--to mlflow:URI needs MLflow's client: pip install 'apc-bench[mlflow]'"
        ) from None
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        _knock(uri)
    with _told(UsageError, f"--to mlflow:{_shown(uri)}"):
        return MlflowClient(tracking_uri=uri)


def _knock(uri: str) -> None:
    """Raises UsageError where no server takes a connection; one behind a proxy is left to MLflow's
    client.
    """
    parts = urlsplit(uri)
    if parts.scheme in getproxies() and not proxy_bypass(parts.netloc.rpartition("@")[2]):
        return
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if parts.hostname is None:
            raise UsageError(f"--to mlflow:{_shown(uri)} names no host, as http://host:5000 does")
        socket.create_connection((parts.hostname, port), CONNECTING).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"no MLflow at {_shown(uri)}: {reason}") from None


def _experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment, made where there is none."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another made it meanwhile
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise UsageError(
            f"experiment '{name}' is deleted in MLflow; restore it there, or name another with"
            " --experiment"
        )
    return str(found.experiment_id)


def _find(client: "MlflowClient", tracked: TrackedRun, experiment: str) -> "MlflowRun | None":
    wanted = f"tags.`{TAG}run` = '{tracked.identity}'"
    found: Sequence[MlflowRun] = client.search_runs([experiment], wanted, max_results=1)
    return found[0] if found else None


def _begin(client: "MlflowClient", tracked: TrackedRun, experiment: str) -> "MlflowRun":
    tags = {f"{TAG}run": tracked.identity, "mlflow.source.name": "apc-bench"}
    return client.create_run(experiment, tracked.began, tags, tracked.name)


def _bring_up_to_date(client: "MlflowClient", known: "MlflowRun", tracked: TrackedRun) -> int:
    """Adds parameters, tags and metrics that are not there; says how many trials were new."""
    from mlflow.entities import Metric, Param, RunTag

    run = known.info.run_id
    params = [
        Param(name, value)
        for name, value in tracked.parameters.items()
        if name not in known.data.params
    ]
    tags = [RunTag(f"{TAG}{name}", value) for name, value in tracked.tags.items()]
    tags.append(RunTag("mlflow.note.content", tracked.tags["summary"]))
    for some in _chunks(params, OTHERS_AT_ONCE):
        client.log_batch(run, params=some)
    client.log_batch(run, tags=tags)
    new = _new_trials(client, known, tracked.trials)
    batch: list[Any] = []
    for trial in new:  # a trial in one request: it is there whole or not at all
        metrics = [
            Metric(f"{trial.place}/{name}", value, trial.moment, trial.seed)
            for name, value in trial.values.items()
        ]
        if len(batch) + len(metrics) > METRICS_AT_ONCE:
            client.log_batch(run, metrics=batch)
            batch = []
        batch += metrics
    means = [
        Metric(name, value, tracked.ended, tracked.done)
        for name, value in tracked.means.items()
        if known.data.metrics.get(name) != value
    ]
    for some in (batch, *_chunks(means, METRICS_AT_ONCE)):
        if some:
            client.log_batch(run, metrics=some)
    return len(new)


def _new_trials(
    client: "MlflowClient", known: "MlflowRun", trials: Sequence[TrackedTrial]
) -> list[TrackedTrial]:
    """The trials that MLflow has not: one metric of each is looked up, where its system has any in
    the category.
    """
    there: dict[str, set[tuple[int, float]]] = {}
    new = []
    for trial in trials:
        if not trial.values:
            continue
        name, value = list(trial.values.items())[-1]
        key = f"{trial.place}/{name}"
        if key not in there:
            history = []
            if key in known.data.metrics:
                history = client.get_metric_history(known.info.run_id, key)
            there[key] = {(metric.step, metric.value) for metric in history}
        if (trial.seed, value) not in there[key]:
            new.append(trial)
    return new


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _shown(uri: str) -> str:
    """Without a password in it."""
    return re.sub(r"//[^/]*@", "//", uri)


def _address(uri: str, run: "MlflowRun") -> str:
    """Where a browser finds the run; of a store that is no server, its id there."""
    if not uri.startswith(("http://", "https://")):
        return f"{run.info.run_id} in {_shown(uri)}"
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    return f"{_shown(uri).rstrip('/')}/{place}"


@contextmanager
def _quick() -> Iterator[None]:
    """MLflow's client without minutes of retries, and without messages of its own."""
    added = {name: value for name, value in QUICK.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _told(kind: type[UsageError] | type[StorageError], what: str) -> Iterator[None]:
    """An error of MLflow or of the connection as one line."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except (MlflowException, RequestException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise kind(f"{what}: {reason}") from None
