"""A version of the data as the lifecycle gathers it: its numbers add up, and its texts are not to be trusted."""

from collections.abc import Callable

import msgspec

from lifeloop.core.content import content_id
from lifeloop.core.data import Finding
from lifeloop.core.data_brief import About, Data, Language, PersonalData, Refine
from lifeloop.reports.data_record import (
    Bin,
    ChangedRow,
    CountChange,
    Counted,
    DataDiff,
    DataRecord,
    DataVersion,
    FateChange,
    FindingChange,
    FoundRows,
    Loss,
    Origin,
    Shares,
    ShownRow,
    SliceColumn,
    Spread,
)

COUNTS = {"train": 7_010, "validation": 1_804, "test": 2_391, "guard": 598}
LABELS = ("card lost", "balance", "transfer", "crédit", "支払い")


def version(number: int = 2, n_raw: int = 12_450) -> DataVersion:
    return DataVersion(number, content_id(["version", number]), number, 1_794_000_000.0, COUNTS, n_raw)


def losses() -> tuple[Loss, ...]:
    return (
        Loss("read", "quarantined", "the bytes are not UTF-8", 3),
        Loss("text", "quarantined", "no text", 17),
        Loss("language", "quarantined", "in another language", 120),
        Loss("duplicates", "dropped", "a repeat of another row", 301),
        Loss("contamination", "dropped", "almost the same as a text of a more protected split", 95),
        Loss("planted rows", "quarantined", "rare words that are tied to one label", 71),
        Loss("label errors", "quarantined", "a model is confident of another label", 40),
    )


def found() -> tuple[FoundRows, ...]:
    rows = (
        ShownRow("messages.csv:4021", "quarantined", "", "caf� <script>alert(1)</script>"),
        ShownRow("messages.csv:77", "quarantined", "", "mail me at [MAIL] | or * not *"),
    )
    first = FoundRows(Finding("read", "quarantined", 3, "the bytes are not UTF-8", ("messages.csv:4021",)), rows[:1])
    masked = FoundRows(Finding("personal data", "kept", 212, "mail: masked", ("messages.csv:77",)), rows[1:])
    guard = ShownRow("messages.csv:9", "dropped", "of messages.csv:3", "", "guard")
    repeat = FoundRows(Finding("duplicates", "dropped", 301, "a repeat of another row", ("messages.csv:9",)), (guard,))
    return first, masked, repeat


def record() -> DataRecord:
    """Return a second version with a bit of everything."""
    after, before = version(), version(1, 12_000)
    diff = DataDiff(
        before=before,
        after=after,
        n_parts_shared=3,
        n_parts_compared=2,
        raw_came=450,
        raw_went=0,
        came={"train": 240, "validation": 61, "test": 80, "guard": 20},
        went={"train": 2, "validation": 0, "test": 0, "guard": 0},
        changed={"text": 1, "reference": 3, "split": 0, "group": 0, "slices": 0},
        n_changed=4,
        n_moved=0,
        fates=(FateChange("kept", "dropped: a repeat of another row", 2, ("messages.csv:5", "messages.csv:6")),),
        labels=(CountChange("balance", {"train": 40, "test": 3}, {"train": 2}),),
        findings=(FindingChange("duplicates", "dropped", "a repeat of another row", 280, 301),),
        came_rows=(ShownRow("messages.csv:12001", "kept", "new in its source", "where is my card", "train"),),
        changed_rows=(ChangedRow("m7", ("reference",), "reference 'balance'", "reference 'transfer'"),),
    )
    data = Data(
        source="messages.csv",
        group="customer",
        slices=("channel",),
        refine=Refine(language=Language(allowed=("en", "fr")), personal_data=PersonalData()),
    )
    shares = (0.5, 0.25, 0.15, 0.07, 0.03)
    counted = tuple(
        Counted(label, {split: round(n * share) for split, n in COUNTS.items()})
        for label, share in zip(LABELS, shares, strict=True)
    )
    return DataRecord(
        project="bank",
        problem="People write to the bank. Route them.",
        task="classify",
        version=after,
        data=data,
        about=About(description="Messages of customers.", licence="CC-BY-4.0"),
        labels=tuple(sorted(LABELS)),
        origins=(
            Origin(
                "messages.csv",
                "source",
                12_363,
                {"kept": 11_716, "dropped": 396, "quarantined": 251},
                content_id("bytes"),
            ),
            Origin("feedback", "feedback", 87, {"kept": 87}, ""),
        ),
        losses=losses(),
        found=found(),
        spreads=(
            Spread("train", 7_010, (4, 18, 61, 240, 1_904), (1, 4, 12, 47, 380)),
            Spread("test", 2_391, (5, 18, 60, 236, 1_200), (1, 4, 12, 46, 241)),
        ),
        bins=(Bin(1, 1, 12), Bin(2, 2, 80), Bin(3, 4, 910), Bin(5, 6, 4_000), Bin(7, 9, 6_001), Bin(10, 14, 800)),
        counted=counted,
        slices=(SliceColumn("channel", (Counted("app", COUNTS), Counted("", {"train": 3}))),),
        turns=None,
        languages=Shares(2_000, (("en", 0.93), ("fr", 0.07))),
        n_reversible=0,
        diff=diff,
    )


def first() -> DataRecord:
    """Return a version before which there is none, from which nothing was lost."""
    counts = {"train": 60, "validation": 20, "test": 20, "guard": 0}
    own = DataVersion(1, content_id("first"), 1, 1_794_000_000.0, counts, 100)
    return msgspec.structs.replace(
        record(),
        version=own,
        about=About(*["said"] * 7),
        origins=(Origin("messages.csv", "source", 100, {"kept": 100}, content_id("bytes")),),
        losses=(),
        found=(),
        counted=(),
        bins=(),
        spreads=(),
        slices=(),
        languages=None,
        diff=None,
        problem="",
    )


def hostile() -> DataRecord:
    """Return a version whose every text tries to be something else."""
    evil = '<script>alert("x")</script> | **bold** `code` ]( $1 & \x00 \ud800'
    row = ShownRow(evil, "quarantined", evil, evil)
    return msgspec.structs.replace(
        record(),
        project=evil,
        problem=evil,
        about=About(*[evil] * 7),
        labels=(evil,),
        origins=(Origin(evil, "source", 12_450, {"kept": 11_803, "dropped": 396, "quarantined": 251}, ""),),
        losses=(Loss(evil, "dropped", evil, 396), Loss(evil, "quarantined", evil, 251)),
        found=(FoundRows(Finding(evil, "quarantined", 251, evil, (evil,)), (row,)),),
        counted=(Counted(evil, COUNTS),),
        slices=(SliceColumn(evil, (Counted(evil, COUNTS),)),),
    )


VARIANTS: dict[str, Callable[[], DataRecord]] = {"record": record, "first": first, "hostile": hostile}
