#!/usr/bin/env bash
# mpirun on this one machine: also as root in a container, also with more ranks than cores.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Open MPI 4 and 5 name this differently. Unbound, since ranks bound by two mpiruns at once would share cores.
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_MCA_hwloc_base_binding_policy=none PRTE_MCA_hwloc_default_binding_policy=none
export OMPI_MCA_mpi_yield_when_idle=1
# Containers forbid copies from process to process, which Open MPI would warn about.
export OMPI_MCA_btl_vader_single_copy_mechanism=none
exec mpirun "$@"
