"""The files of a run: their records, one reader and one writer. `docs/run-files.md` is made from here.

Imports nothing of ours, and no jax: whoever reads a run need not wait for it.
"""

from .base import COMPARE_VERSION, NOISE_VERSION, REPRODUCTION_VERSION, SCHEMA_VERSION, Record
from .calibration import BlockSeconds, Calibration, KernelRecord, KernelSample, StageSeconds
from .checkpoint import CheckpointAbout, CheckpointLine, Identity, ResumeLine, SetAside
from .comparison import (
    ComparedMethod,
    ComparedModel,
    ComparedRun,
    ComparedSummary,
    ComparisonFile,
    CurvePoint,
    SeedSpread,
    TargetMethod,
    TargetRecord,
    TrialRecord,
)
from .config import BlockSize, Config, DataRecord, MachineRecord, ModelRecord
from .decode import decode, typed, untyped
from .directory import RunDirectory
from .encode import encode, encode_indented, plain
from .errors import RunFileError, clean_text
from .grid import (
    CompareCell,
    Failure,
    FigureFile,
    GridHead,
    MeasuredSize,
    MeasuredTask,
    NewtonStep,
    NoiseCell,
    NoiseFile,
    ReproductionHead,
)
from .lines import Lines, read_lines
from .migrate import decode_version, migration_from
from .run import Run, check_scheduled, read_calibration, read_config, read_run, read_summary
from .step import STAGES, PredictedSchedule, PredictedSeconds, StepLine
from .summary import Breakdown, GateTime, Summary
from .system import AccessCosts, KindName, NumberKinds, SetDecision, SystemLine, TimedSolve, VerdictName

__all__ = [
    "COMPARE_VERSION",
    "NOISE_VERSION",
    "REPRODUCTION_VERSION",
    "SCHEMA_VERSION",
    "STAGES",
    "AccessCosts",
    "BlockSeconds",
    "BlockSize",
    "Breakdown",
    "Calibration",
    "CheckpointAbout",
    "CheckpointLine",
    "CompareCell",
    "ComparedMethod",
    "ComparedModel",
    "ComparedRun",
    "ComparedSummary",
    "ComparisonFile",
    "Config",
    "CurvePoint",
    "DataRecord",
    "Failure",
    "FigureFile",
    "GateTime",
    "GridHead",
    "Identity",
    "KernelRecord",
    "KernelSample",
    "KindName",
    "Lines",
    "MachineRecord",
    "MeasuredSize",
    "MeasuredTask",
    "ModelRecord",
    "NewtonStep",
    "NoiseCell",
    "NoiseFile",
    "NumberKinds",
    "PredictedSchedule",
    "PredictedSeconds",
    "Record",
    "ReproductionHead",
    "ResumeLine",
    "Run",
    "RunDirectory",
    "RunFileError",
    "SeedSpread",
    "SetAside",
    "SetDecision",
    "StageSeconds",
    "StepLine",
    "Summary",
    "SystemLine",
    "TargetMethod",
    "TargetRecord",
    "TimedSolve",
    "TrialRecord",
    "VerdictName",
    "check_scheduled",
    "clean_text",
    "decode",
    "decode_version",
    "encode",
    "encode_indented",
    "migration_from",
    "plain",
    "read_calibration",
    "read_config",
    "read_lines",
    "read_run",
    "read_summary",
    "typed",
    "untyped",
]
