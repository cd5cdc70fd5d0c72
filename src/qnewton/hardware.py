"""Machines: calibrated classical ones, modelled quantum ones, and their profiles."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._hardware import AbstractLayout as AbstractLayout
    from ._hardware import ClassicalMachine as ClassicalMachine
    from ._hardware import ClassicalProfile as ClassicalProfile
    from ._hardware import KernelTimes as KernelTimes
    from ._hardware import OverheadStatus as OverheadStatus
    from ._hardware import PhysicalCost as PhysicalCost
    from ._hardware import QuantumMachine as QuantumMachine
    from ._hardware import QuantumProfile as QuantumProfile
    from ._hardware import ReactionLimited as ReactionLimited
    from ._hardware import Sequential as Sequential
    from ._hardware import StoredCalibration as StoredCalibration
    from ._hardware import calibration_directory as calibration_directory
    from ._hardware import calibration_environment as calibration_environment
    from ._hardware import check_environment as check_environment
    from ._hardware import describe_machine as describe_machine
    from ._hardware import fit as fit
    from ._hardware import gemm_probe as gemm_probe
    from ._hardware import interleaved_seconds as interleaved_seconds
    from ._hardware import load_calibration as load_calibration
    from ._hardware import load_profile as load_profile
    from ._hardware import median_seconds as median_seconds
    from ._hardware import next_factors as next_factors
    from ._hardware import physical_cost as physical_cost
    from ._hardware import profile_names as profile_names
    from ._hardware import read_calibration as read_calibration
    from ._hardware import store_calibration as store_calibration
    from ._hardware import t_gates_per_rotation as t_gates_per_rotation
    from ._hardware import unformed_kernel as unformed_kernel
    from ._hardware.codes import ErrorCorrectionCode as ErrorCorrectionCode
    from ._scheduling import calibrate as calibrate
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
