"""What reading a checkpoint to its last byte gave, in one sentence."""

from __future__ import annotations

from core.verify import Verification


def verification_summary(found: Verification) -> str:
    """Say how much was read, how much of it the file can vouch for, and what is damaged."""
    records = _records(found.records)
    if found.damaged:
        are = "is" if len(found.damaged) == 1 else "are"
        return (
            f"{len(found.damaged):,} of {records} {are} damaged: get the file again from where it "
            "came from."
        )
    if not found.checked:
        return (
            f"All {records} can be read to the last byte; this format keeps no checksums, so a "
            "changed bit cannot be seen."
        )
    if found.checked < found.records:
        return (
            f"{found.checked:,} of {records} have a checksum, and all of these are right; the "
            "others can be read to the last byte."
        )
    return f"All {records} are sound: their bytes have the checksums that were saved."


def _records(count: int) -> str:
    return f"{count:,} records" if count != 1 else "1 record"
