"""The files of a run: their records, one reader and one writer. `docs/run-files.md` is made from here.

Imports nothing of ours, and no jax: whoever reads a run need not wait for it.
"""

from .base import (
    BREAKEVEN_VERSION,
    COMPARE_VERSION,
    NOISE_VERSION,
    REPRODUCTION_VERSION,
    SCHEMA_VERSION,
    SPECTRUM_VERSION,
    TRADEOFF_VERSION,
    Record,
)
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
from .group import FamilyRecord, GroupDecision, GroupLine, GroupTotals, GroupVerdictName
from .group_sums import group_totals, groups_by_step
from .lines import Lines, read_lines
from .migrate import migration_from, read_version
from .params import read_params, write_params
from .results import (
    BreakevenFile,
    BreakevenPair,
    BreakevenSingle,
    SpectrumBlock,
    SpectrumFile,
    SpectrumSource,
    TradeoffFile,
    TradeoffSetting,
    read_result,
)
from .run import Run, check_scheduled, read_calibration, read_config, read_run, read_summary
from .step import STAGES, PredictedSchedule, PredictedSeconds, StepLine
from .summary import Breakdown, GateTime, Summary
from .system import AccessCosts, KindName, NumberKinds, SetDecision, SystemLine, TimedSolve, VerdictName

__all__ = [
    "BREAKEVEN_VERSION",
    "COMPARE_VERSION",
    "NOISE_VERSION",
    "REPRODUCTION_VERSION",
    "SCHEMA_VERSION",
    "SPECTRUM_VERSION",
    "STAGES",
    "TRADEOFF_VERSION",
    "AccessCosts",
    "BlockSeconds",
    "BlockSize",
    "Breakdown",
    "BreakevenFile",
    "BreakevenPair",
    "BreakevenSingle",
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
    "FamilyRecord",
    "FigureFile",
    "GateTime",
    "GridHead",
    "GroupDecision",
    "GroupLine",
    "GroupTotals",
    "GroupVerdictName",
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
    "SpectrumBlock",
    "SpectrumFile",
    "SpectrumSource",
    "StageSeconds",
    "StepLine",
    "Summary",
    "SystemLine",
    "TargetMethod",
    "TargetRecord",
    "TimedSolve",
    "TradeoffFile",
    "TradeoffSetting",
    "TrialRecord",
    "VerdictName",
    "check_scheduled",
    "clean_text",
    "decode",
    "encode",
    "encode_indented",
    "group_totals",
    "groups_by_step",
    "migration_from",
    "plain",
    "read_calibration",
    "read_config",
    "read_lines",
    "read_params",
    "read_result",
    "read_run",
    "read_summary",
    "read_version",
    "typed",
    "untyped",
    "write_params",
]
