"""The parts of a server for many people: settings, links, jobs, shared results, memory, samples.

Nothing here imports Streamlit; `app.py` and pages/components connect the parts with the app.
`files` keeps uploads and exports on the disk, `web` is the HTTP side.
"""

from core.server.bench import Bench, SlotState, bench_from_query, bench_to_query, link_query
from core.server.garbage import IdleCollector, keep_what_is_loaded
from core.server.index_keeper import IndexKeeper
from core.server.job_watch import watched
from core.server.jobs import Job, Jobs
from core.server.newest_results import NewestResults
from core.server.next_step import (
    EMPTY_SLOT,
    Action,
    NextStep,
    SlotStage,
    Stage,
    next_step,
    slot_stage,
)
from core.server.once import Once
from core.server.preload_steps import preload
from core.server.run_choice import evenly, run_files
from core.server.samples import SAMPLES, bundled_images, photographs, sample_images
from core.server.settings import Settings, paths_setting, read_settings

__all__ = [
    "EMPTY_SLOT",
    "SAMPLES",
    "Action",
    "Bench",
    "IdleCollector",
    "IndexKeeper",
    "Job",
    "Jobs",
    "NewestResults",
    "NextStep",
    "Once",
    "Settings",
    "SlotStage",
    "SlotState",
    "Stage",
    "bench_from_query",
    "bench_to_query",
    "bundled_images",
    "evenly",
    "keep_what_is_loaded",
    "link_query",
    "next_step",
    "paths_setting",
    "photographs",
    "preload",
    "read_settings",
    "run_files",
    "sample_images",
    "slot_stage",
    "watched",
]
