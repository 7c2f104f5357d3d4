/** Whether a launcher of MPI started this process, by the variables that it sets: mpirun and mpiexec of Open MPI, MPICH, Intel MPI; srun. */

export interface Launch {
  /** Number of processes of the job. */
  readonly size: number;
  readonly rank: number;
  /** Number of its processes on this machine, if the launcher tells. */
  readonly localSize: number | undefined;
  /** The MPI that the launcher belongs to; undefined for srun, which starts all. */
  readonly kind: 'open-mpi' | 'mpich' | undefined;
  /** For messages. */
  readonly launcher: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

interface Row {
  readonly launcher: string;
  readonly kind: Launch['kind'];
  readonly size: string;
  readonly rank: string;
  readonly localSize: readonly string[];
  /** A further variable that must be set. */
  readonly and?: string;
}

/** In the order in which they are looked for. A batch script of Slurm has SLURM_PROCID too; only srun sets SLURM_STEP_NUM_TASKS. */
const rows: readonly Row[] = [
  {
    launcher: "Open MPI's mpirun",
    kind: 'open-mpi',
    size: 'OMPI_COMM_WORLD_SIZE',
    rank: 'OMPI_COMM_WORLD_RANK',
    localSize: ['OMPI_COMM_WORLD_LOCAL_SIZE'],
  },
  {
    launcher: 'srun',
    kind: undefined,
    size: 'SLURM_STEP_NUM_TASKS',
    rank: 'SLURM_PROCID',
    localSize: ['SLURM_STEP_TASKS_PER_NODE'],
    and: 'SLURM_STEP_ID',
  },
  { launcher: "MPICH's mpiexec", kind: 'mpich', size: 'PMI_SIZE', rank: 'PMI_RANK', localSize: ['MPI_LOCALNRANKS'] },
];

function whole(text: string | undefined): number | undefined {
  // Slurm writes 4(x2) for two machines with four tasks each.
  const found = /^\d+/.exec(text ?? '');
  return found ? Number(found[0]) : undefined;
}

/** The launch of this process, or undefined where no launcher started it. */
export function launchOf(environment: Environment): Launch | undefined {
  for (const row of rows) {
    const [size, rank] = [whole(environment[row.size]), whole(environment[row.rank])];
    if (size === undefined || rank === undefined || (row.and !== undefined && environment[row.and] === undefined))
      continue;
    const localSize = row.localSize.map((name) => whole(environment[name])).find((value) => value !== undefined);
    return { size, rank, localSize, kind: row.kind, launcher: row.launcher };
  }
  return undefined;
}

/** Threads of a rank, so that the ranks of one machine share its cores. `available` are those that this process may use, `all` those of the machine. */
export function threadsOfRank(
  localSize: number | undefined,
  { available, all }: { readonly available: number; readonly all: number },
): number {
  return Math.max(1, Math.min(available, Math.floor(all / Math.max(1, localSize ?? 1))));
}
