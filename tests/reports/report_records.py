"""Records of cycles as the lifecycle would gather them: a bank's question router, in several variants."""

import math

import msgspec

from lifeloop.core.brief import Brief, parse_brief
from lifeloop.core.candidates import Estimate
from lifeloop.core.content import content_id
from lifeloop.core.data import Dataset, Finding
from lifeloop.core.events import ProductionSummary
from lifeloop.core.evidence import (
    Comparison,
    Elimination,
    Guarantee,
    Leaderboard,
    Measurements,
    MetricValue,
    ObjectiveResult,
    Release,
    Spot,
    Standing,
    Trial,
    VarianceSplit,
    Verdict,
)
from lifeloop.reports.record import CycleRecord, LineageStep

BRIEF = """
[project]
name = "support-router"
task = "classify"
problem = '''
People write to the bank's help desk in their own words; every message has to reach the right team.
Today two colleagues sort them by hand, which takes a day.'''

[data]
source = "messages.csv"
slices = ["domain"]
out_of_scope = "oos"

[[objectives]]
metric = "accuracy"
target = 0.85

[[objectives]]
metric = "p95_ms"
target = 50

[[objectives]]
metric = "out_of_scope_recall"
guard = true
margin = 0.02

[candidates.majority]
kind = "majority"
[candidates.tfidf]
kind = "features"
[candidates.minilm]
kind = "encoder"
[candidates.minilm-tuned]
parent = "minilm"
adapt = "finetune"
[candidates.neighbours]
kind = "nearest"
[candidates.smollm]
kind = "llamacpp"
[candidates.hosted-large]
kind = "remote"
[candidates.first-cheap]
kind = "cascade"
members = ["tfidf", "smollm"]
"""

ROUTED = """
[candidates.routed]
kind = "router"
by = "domain"
[candidates.careful]
kind = "abstain"
members = ["minilm-tuned"]
"""


def identifier(what: str) -> str:
    return content_id(what)


def value(metric: str, number: float, n: int = 900, half: float = 0.02) -> MetricValue:
    return MetricValue(metric=metric, value=number, low=max(0.0, number - half), high=min(1.0, number + half), n=n)


def trial(name: str, accuracy: float, **changes) -> Trial:
    found = {"p50": 1.1, "p95": 2.4, "memory": 180.0, "usd": 0.000031, "tokens": (0, 0), "failed": 0} | changes
    split, suite, n = found.get("split", "validation"), found.get("suite", "clean"), found.get("n", 900)
    return Trial(
        candidate=identifier(name),
        name=name,
        dataset=identifier("dataset"),
        split=split,
        suite=suite,
        n_items=n,
        n_failed=found["failed"],
        answers=identifier(f"answers {name} {split} {suite}"),
        metrics=(
            value("accuracy", accuracy, n),
            value("macro_f1", accuracy - 0.012, n),
            value("out_of_scope_recall", accuracy * 0.6, 180, 0.05),
            value("valid", 1.0 - found["failed"] / n, n, 0.0),
        ),
        slices={
            f"domain={domain}": (value("accuracy", min(1.0, max(0.0, accuracy - less)), 90, 0.06),)
            for domain, less in (("banking", -0.03), ("travel", 0.02), ("crédit & prêts", 0.09))
        },
        measurements=Measurements(
            p50_ms=found["p50"],
            p95_ms=found["p95"],
            memory_mb=found["memory"],
            tokens_in=found["tokens"][0],
            tokens_out=found["tokens"][1],
            usd_per_1000=found["usd"],
            seconds=found["p50"] * n / 1000,
        ),
    )


FIELD = {
    "minilm-tuned": trial("minilm-tuned", 0.912, p50=9.8, p95=14.2, memory=512.0, usd=0.000272),
    "first-cheap": trial("first-cheap", 0.889, p50=3.0, p95=431.0, memory=498.0, usd=0.0034, tokens=(41_000, 900)),
    "hosted-large": trial(
        "hosted-large", 0.881, p50=640.0, p95=1310.0, memory=64.0, usd=0.412, tokens=(812_400, 3_710), failed=4
    ),
    "minilm": trial("minilm", 0.874, p50=9.7, p95=14.0, memory=511.0, usd=0.00027),
    "tfidf": trial("tfidf", 0.861),
    "neighbours": trial("neighbours", 0.847, p50=10.4, p95=15.1, memory=530.0, usd=0.00029),
    "smollm": trial(
        "smollm", 0.381, p50=287.0, p95=402.0, memory=322.0, usd=0.0081, tokens=(640_000, 4_100), failed=31
    ),
    "majority": trial("majority", 0.042, p50=0.01, p95=0.02, memory=92.0, usd=0.0000003),
}


def brief_of(text: str = BRIEF) -> Brief:
    return parse_brief(text)


def board_of(field: dict[str, Trial], challenger: str, *failed: Standing) -> Leaderboard:
    standings = tuple(Standing(name=name, candidate=identifier(name), trial=found) for name, found in field.items())
    return Leaderboard(
        metric="accuracy",
        standings=(*standings, *failed),
        challenger=identifier(challenger),
        reason="it has the best accuracy of those within the memory budget",
    )


def gate_trials(*names: str) -> tuple[Trial, ...]:
    sets = (("test", "clean", 0.0), ("guard", "clean", 0.01), ("test", "typos", 0.06), ("test", "lowercase", 0.015))
    trials = []
    for name in names:
        known = FIELD[name]
        accuracy, found = known.metrics[0].value, known.measurements
        for split, suite, less in sets:
            trials.append(
                trial(
                    name,
                    max(0.0, accuracy - less),
                    split=split,
                    suite=suite,
                    n=1200 if split == "test" else 300,
                    p50=found.p50_ms,
                    p95=found.p95_ms,
                    memory=found.memory_mb,
                    usd=found.usd_per_1000,
                )
            )
    return tuple(trials)


def compared(metric: str, ours: float, theirs: float, **changes) -> Comparison:
    return msgspec.structs.replace(
        Comparison(
            metric=metric,
            split="test",
            suite="clean",
            challenger=ours,
            champion=theirs,
            difference=ours - theirs,
            low=ours - theirs - 0.017,
            high=ours - theirs + 0.017,
            p_value=0.00002,
            method="paired bootstrap, clustered by group",
            n=1200,
        ),
        **changes,
    )


def verdict_of(decision: str, reason: str, **changes) -> Verdict:
    return msgspec.structs.replace(
        Verdict(
            cycle=2,
            decision=decision,
            reason=reason,
            challenger=identifier("minilm-tuned"),
            challenger_name="minilm-tuned",
            champion=identifier("tfidf"),
            champion_name="tfidf",
            champion_is_baseline=False,
            objectives=(
                ObjectiveResult("accuracy", 0.85, "max", 0.912, 0.896, 0.927, "met"),
                ObjectiveResult("p95_ms", 50.0, "min", 14.2, 14.2, 14.2, "met"),
            ),
            guards=(ObjectiveResult("out_of_scope_recall", None, "max", 0.03, -0.011, 0.071, "kept"),),
            comparisons=(
                compared("accuracy", 0.912, 0.861),
                compared("out_of_scope_recall", 0.547, 0.517, low=-0.011, high=0.071, p_value=None, n=240),
                compared("accuracy", 0.852, 0.801, suite="typos", p_value=0.0004),
                compared("accuracy", 0.902, 0.851, split="guard", n=300, p_value=0.021),
            ),
            usd_per_1000=(0.000272, 0.000031),
            trials={"challenger/test/clean": identifier("t1"), "champion/test/clean": identifier("t2")},
        ),
        **changes,
    )


def promoted() -> CycleRecord:
    """A second cycle that puts a fine-tuned encoder in production."""
    findings = (
        Finding(
            "duplicates", "dropped", 214, "the same text as an earlier row", ("messages.csv:18", "messages.csv:77")
        ),
        Finding("encoding", "quarantined", 3, "the bytes are not UTF-8", ("messages.csv:4021",)),
        Finding("labels", "kept", 41, "the label may be wrong", ("messages.csv:9", "feedback:01J8", "messages.csv:11")),
    )
    verdict = verdict_of(
        "promote",
        "it is better on accuracy by +0.0510, interval +0.0340 to +0.0680, and meets every objective",
    )
    failed = Standing(
        name="huge",
        candidate=identifier("huge"),
        trial=None,
        failure="it needs 14.2 GB of memory, and the budget is 8 GB",
    )
    counts = {"train": 6_010, "validation": 900, "test": 1_200, "guard": 300}
    return CycleRecord(
        cycle=2,
        at=1_794_000_000.0,
        brief=brief_of(),
        dataset_id=identifier("dataset"),
        dataset=Dataset(
            tables={split: (identifier(split),) for split in counts},
            counts=counts,
            labels=("balance", "card_lost", "crédit", "oos", "支払い", "transfer"),
            raw=identifier("raw"),
            findings=findings,
        ),
        n_learned=87,
        leaderboard=board_of(FIELD, "minilm-tuned", failed),
        estimates={
            name: Estimate(
                memory_gb=found.measurements.memory_mb / 1024 * 1.3,
                build_seconds=20.0,
                seconds_per_item=found.measurements.p50_ms / 800,
                basis="this machine's speed at matrix products",
            )
            for name, found in FIELD.items()
        },
        build_seconds={name: 0.02 + index * 31.0 for index, name in enumerate(reversed(FIELD))},
        trials=gate_trials("minilm-tuned", "tfidf"),
        verdict_id=identifier("verdict"),
        verdict=verdict,
        release=Release(
            cycle=2,
            verdict=identifier("verdict"),
            candidate=identifier("minilm-tuned"),
            name="minilm-tuned",
            fallback=(identifier("tfidf"),),
            timeout_seconds=2.0,
            replaces=identifier("release 1"),
        ),
        production=ProductionSummary(
            n_events=1000,
            n_errors=2,
            n_fallbacks=5,
            p50_ms=1.3,
            p95_ms=3.1,
            usd_per_1000=0.00004,
            n_feedback=120,
            n_agreeing=97,
            shares={"balance": 0.41, "transfer": 0.33, "oos": 0.16, "支払い": 0.1},
        ),
        lineage=(
            LineageStep("release", identifier("release 2"), "minilm-tuned, since 2026-11-06"),
            LineageStep("verdict", identifier("verdict"), "promote"),
            LineageStep("trial", identifier("t1"), "minilm-tuned on test, clean"),
            LineageStep("candidate", identifier("minilm-tuned"), "finetune of minilm"),
            LineageStep("dataset", identifier("dataset"), "8,410 examples in four splits"),
            LineageStep("source", identifier("source"), "messages.csv"),
            LineageStep("brief", identifier("brief"), "lifeloop.toml"),
        ),
    )


def raced() -> CycleRecord:
    """A cycle with a race, composed candidates, a promise, repeats, a broken slice, and an override."""
    field = {
        "minilm-tuned": FIELD["minilm-tuned"],
        "routed": trial("routed", 0.905, p50=11.0, p95=15.0, memory=540.0, usd=0.0003),
        "careful": trial("careful", 0.901, p50=9.9, p95=14.3, memory=513.0, usd=0.00028),
        "first-cheap": FIELD["first-cheap"],
        "smollm": trial("smollm", 0.55, p50=287.0, p95=402.0, memory=322.0, usd=0.0081, n=50),
    }
    out = Elimination("minilm-tuned", 50, 900, -0.33, -0.45, -0.22, 0.01, "betting on paired differences")
    board = board_of(field, "minilm-tuned")
    standings = tuple(
        msgspec.structs.replace(
            standing,
            eliminated=out if standing.name == "smollm" else None,
            trial=msgspec.structs.replace(
                standing.trial, remarks=("The judge agrees with people on 82% of 40 labelled answers.",)
            )
            if standing.name == "routed"
            else standing.trial,
        )
        for standing in board.standings
    )
    candidates = BRIEF + ROUTED
    always = {"always_low": 0.02, "always_high": 0.082, "e_value": 412.0, "worse_e_value": 0.001}
    before = promoted()
    verdict = msgspec.structs.replace(
        before.verdict,
        reason="overridden by Ada Lovelace: the regulator asks for it by Monday",
        override_by="Ada Lovelace",
        override_reason="the regulator asks for it by Monday",
        overrides=identifier("the verdict of the gate"),
        guards=(
            *before.verdict.guards,
            ObjectiveResult("accuracy", None, "max", -0.08, -0.12, -0.04, "broken", 0, "domain=banking", 0.0005, 0.004),
        ),
        comparisons=(
            compared("accuracy", 0.912, 0.861, **always),
            compared("accuracy", 0.8, 0.88, slice="domain=banking", low=-0.12, high=-0.04),
            *before.verdict.comparisons[1:],
        ),
        guarantees=(
            Guarantee(
                "careful",
                "an in-scope request is withheld or answered wrongly",
                0.05,
                0.61,
                0.049,
                0.041,
                0.03,
                0.054,
                True,
            ),
            Guarantee("first-cheap", "the last member would have been right", 0.02, 0.8, 0.019),
        ),
    )
    curve = (Spot(0.0, 1.0, 0.912), Spot(0.5, 0.9, 0.95), Spot(0.9, 0.6, 0.99))
    trials = tuple(
        msgspec.structs.replace(found, abstention=curve, repeats=4, variance=(VarianceSplit("accuracy", 0.06, 0.02),))
        for found in before.trials
    )
    return msgspec.structs.replace(
        before,
        brief=brief_of(candidates),
        leaderboard=msgspec.structs.replace(board, standings=standings),
        verdict=verdict,
        trials=trials,
    )


def rejected() -> CycleRecord:
    """A cycle whose challenger misses an objective; nothing served before, nothing released."""
    verdict = verdict_of(
        "reject",
        "p95_ms is 1310, interval 1310 to 1310, which misses the target of 50",
        challenger=identifier("hosted-large"),
        challenger_name="hosted-large",
        objectives=(
            ObjectiveResult("accuracy", 0.85, "max", 0.8497, 0.83, 0.87, "undecided", 450),
            ObjectiveResult("p95_ms", 50.0, "min", 1310.0, 1310.0, 1310.0, "missed"),
        ),
        guards=(ObjectiveResult("out_of_scope_recall", None, "max", -0.117, -0.17, -0.06, "broken"),),
        usd_per_1000=(0.412, 0.000031),
    )
    return msgspec.structs.replace(
        promoted(),
        leaderboard=board_of(FIELD, "hosted-large"),
        verdict=verdict,
        release=None,
        production=None,
        trials=gate_trials("hosted-large", "tfidf"),
        lineage=promoted().lineage[1:],
        n_learned=0,
    )


def undecided() -> CycleRecord:
    """The first cycle: held against the baseline, and the examples are too few."""
    verdict = verdict_of(
        "undecided",
        "",
        cycle=1,
        champion=identifier("majority"),
        champion_name="majority",
        champion_is_baseline=True,
        objectives=(ObjectiveResult("accuracy", 0.9, "max", 0.912, 0.88, 0.94, "undecided", 1_350),),
        guards=(),
        comparisons=(compared("accuracy", 0.912, 0.042, p_value=None),),
        more_examples=1_350,
    )
    return msgspec.structs.replace(
        promoted(),
        cycle=1,
        verdict=verdict,
        release=None,
        production=None,
        trials=gate_trials("minilm-tuned", "majority"),
        lineage=(),
    )


def alone() -> CycleRecord:
    """One candidate works, everything else failed; it costs nothing, and it is the baseline itself."""
    field = {"tfidf": trial("tfidf", 0.861, usd=0.0)}
    failed = [Standing(name=f"broken-{i}", candidate=identifier(f"b{i}"), trial=None, failure="") for i in range(3)]
    verdict = verdict_of(
        "promote",
        "it meets every objective",
        challenger=identifier("tfidf"),
        challenger_name="tfidf",
        champion_is_baseline=True,
        comparisons=(),
        guards=(),
        usd_per_1000=(0.0, 0.0),
    )
    return msgspec.structs.replace(
        promoted(),
        leaderboard=board_of(field, "tfidf", *failed),
        verdict=verdict,
        trials=gate_trials("tfidf"),
        estimates={},
        build_seconds={},
    )


def crowded() -> CycleRecord:
    """Forty candidates, many of the same cost and quality, with long and foreign names."""
    field = {}
    for index in range(40):
        name = f"候補-{index}" if index % 9 == 0 else f"prompt-{index:02d}-with-a-rather-long-name-{index % 7}"
        usd = (0.0, 0.004, 0.004, 0.0041, 0.05)[index % 5] * (1 + (index // 20))
        field[name] = trial(name, 0.9 - (index // 4) * 0.006, usd=usd, p95=10.0 + index)
    names = list(field)
    record = msgspec.structs.replace(promoted(), leaderboard=board_of(field, names[1]), estimates={}, build_seconds={})
    changes = {"challenger": identifier(names[1]), "challenger_name": names[1], "champion": identifier(names[7])}
    return msgspec.structs.replace(record, verdict=msgspec.structs.replace(record.verdict, **changes))


def unmeasured() -> CycleRecord:
    """Numbers that are not numbers, wherever a record can hold one."""
    bad = math.nan
    broken = Measurements(bad, math.inf, bad, 0, 0, bad, math.inf)
    values = (MetricValue("accuracy", 0.8, bad, math.inf, 10), MetricValue("macro_f1", bad, bad, bad, 0))
    lost = msgspec.structs.replace(FIELD["tfidf"], measurements=broken, metrics=values)
    none = msgspec.structs.replace(FIELD["smollm"], metrics=(MetricValue("accuracy", bad, bad, bad, 0),), n_items=0)
    field = {"tfidf": lost, "smollm": none}
    verdict = verdict_of(
        "reject",
        "",
        objectives=(ObjectiveResult("accuracy", 0.85, "max", bad, -math.inf, math.inf, "undecided"),),
        guards=(ObjectiveResult("p95_ms", None, "min", math.inf, bad, bad, "broken"),),
        comparisons=(compared("accuracy", bad, bad, difference=bad, low=-math.inf, high=math.inf, p_value=bad),),
        usd_per_1000=(bad, math.inf),
    )
    return msgspec.structs.replace(
        promoted(),
        at=math.inf,
        leaderboard=board_of(field, "tfidf"),
        verdict=verdict,
        release=None,
        estimates={"tfidf": Estimate(memory_gb=bad, build_seconds=math.inf, seconds_per_item=bad)},
        build_seconds={"tfidf": bad},
        production=ProductionSummary(3, 0, 0, bad, math.inf, bad, 0, 0, {"a": bad}),
    )


def hostile() -> CycleRecord:
    """Texts that try to be markup."""
    record = promoted()
    evil = "<script>alert('x')</script>|`*_a_*`\n# x &amp; \x00\ud800"
    standings = tuple(
        msgspec.structs.replace(standing, name=evil, note="<img src=x onerror=y>") if index == 1 else standing
        for index, standing in enumerate(record.leaderboard.standings)
    )
    text = BRIEF.replace("People write", "<script>alert(1)</script> ``` People | write")
    return msgspec.structs.replace(
        record,
        brief=brief_of(text),
        leaderboard=msgspec.structs.replace(record.leaderboard, standings=standings, reason="<b>because</b>"),
        dataset=msgspec.structs.replace(record.dataset, labels=("<i>label</i>", "a|b", "日本語")),
    )


VARIANTS = {make.__name__: make for make in (promoted, raced, rejected, undecided, alone, crowded, unmeasured, hostile)}
