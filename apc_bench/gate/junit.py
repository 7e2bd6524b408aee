"""The gate's finding as JUnit XML, which Jenkins, GitLab and GitHub's report actions show: one
suite a system, one case a verdict.
"""

from xml.etree import ElementTree as Xml

from apc_bench.gate.format import as_lines, headline, where
from apc_bench.gate.gate import Gate
from apc_bench.gate.verdicts import REGRESSION, RISE, UNDERPOWERED, Unit
from apc_bench.metrics.catalogue import CATALOGUE
from apc_bench.tables.number_format import percent, points


def as_junit(gate: Gate) -> str:
    """The XML document. A regression is a failure, what could not be judged an error; a rise
    passes, with a word of it in its output.
    """
    suites: dict[str, Xml.Element] = {}

    def case(system: str, name: str) -> Xml.Element:
        suite = suites.setdefault(system, Xml.Element("testsuite", {"name": clean(system)}))
        return Xml.SubElement(
            suite,
            "testcase",
            {"classname": clean(f"apc-bench.{system}"), "name": clean(name), "time": "0"},
        )

    for unit in gate.units:
        _judge(case(unit.system, f"{unit.metric} {where(unit)}"), unit)
    for cost in gate.costs:
        judged = case(cost.system, CATALOGUE[cost.column].label)
        if cost.slower:
            _say(judged, "failure", "regression", f"{cost.ratio:.2f} × as before")
    for missing in gate.missing:
        trial = [missing.category] if missing.category else []
        if missing.seed is not None:
            trial.append(f"seed {missing.seed}")
        unjudged = case(missing.system or "run", " ".join(trial) or "all trials")
        _say(unjudged, "error", "unjudged", missing.reason)
    for reason in gate.reasons:
        _say(case("run", "comparison"), "error", "unjudged", reason)
    return _document(gate, list(suites.values()))


def _judge(case: Xml.Element, unit: Unit) -> None:
    noise = "an unknown amount" if unit.noise is None else percent(unit.noise)
    message = (
        f"{points(unit.change)} points; tolerated {percent(unit.tolerance)}, noise reaches {noise}"
    )
    if unit.verdict == REGRESSION:
        _say(case, "failure", "regression", message)
    elif unit.verdict == UNDERPOWERED:
        _say(case, "error", "too few seeds", message)
    elif unit.verdict == RISE:
        Xml.SubElement(case, "system-out").text = clean(f"unexplained rise: {message}")


def _say(case: Xml.Element, kind: str, type_: str, message: str) -> None:
    Xml.SubElement(case, kind, {"type": type_, "message": clean(message)}).text = clean(message)


def _document(gate: Gate, suites: list[Xml.Element]) -> str:
    root = Xml.Element("testsuites", {"name": "apc-bench gate"})
    for suite in suites:
        _count(suite, suite)
        suite.set("timestamp", gate.tonight.created[:19])
        root.append(suite)
    _count(root, root)
    if suites:
        text = "\n".join([headline(gate), *as_lines(gate)])
        Xml.SubElement(suites[0], "system-out").text = clean(text)
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(root, encoding="unicode")}\n'


def _count(element: Xml.Element, within: Xml.Element) -> None:
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        element.set(name, str(len(list(within.iter(tag)))))
    element.set("time", "0")


def clean(text: str) -> str:
    """Without the characters that XML 1.0 has no way to write."""
    return "".join(letter if letter in "\t\n" or letter.isprintable() else "?" for letter in text)
