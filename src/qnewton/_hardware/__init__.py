"""Hardware: from a workload to seconds, calibrated for the present machine, modelled for a quantum one."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cache import StoredCalibration as StoredCalibration
    from .cache import calibration_directory as calibration_directory
    from .cache import calibration_environment as calibration_environment
    from .cache import check_environment as check_environment
    from .cache import load_calibration as load_calibration
    from .cache import read_calibration as read_calibration
    from .cache import store_calibration as store_calibration
    from .classical import ClassicalMachine as ClassicalMachine
    from .classical import KernelTimes as KernelTimes
    from .classical import fit as fit
    from .classical import unformed_kernel as unformed_kernel
    from .classical_profile import ClassicalProfile as ClassicalProfile
    from .layouts import AbstractLayout as AbstractLayout
    from .layouts import ReactionLimited as ReactionLimited
    from .layouts import Sequential as Sequential
    from .learning import next_factors as next_factors
    from .measure import describe_machine as describe_machine
    from .measure import gemm_probe as gemm_probe
    from .measure import interleaved_seconds as interleaved_seconds
    from .measure import median_seconds as median_seconds
    from .measure import usable_cores as usable_cores
    from .overhead import OverheadStatus as OverheadStatus
    from .overhead import PhysicalCost as PhysicalCost
    from .overhead import physical_cost as physical_cost
    from .overhead import t_gates_per_rotation as t_gates_per_rotation
    from .profile_files import listed_profiles as listed_profiles
    from .profile_files import load_profile as load_profile
    from .profile_files import profile_names as profile_names
    from .quantum_profile import QuantumMachine as QuantumMachine
    from .quantum_profile import QuantumProfile as QuantumProfile
    from .rated import rated_machine as rated_machine
else:
    from .._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
