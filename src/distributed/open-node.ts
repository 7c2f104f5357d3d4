/** The communicator of this process: over MPI where a launcher of MPI started it or the user says so, else alone. MPI is loaded only then. */

import { StableDiffusionError } from '../errors.ts';
import { alone, type Communicator } from './communicator.ts';
import { type Launch, launchOf } from './launch.ts';

/** `auto`: MPI where a launcher started more than one process. */
export const distributedModes = ['auto', 'mpi', 'none'] as const;
export type DistributedMode = (typeof distributedModes)[number];

export interface Ranks {
  readonly communicator: Communicator;
  readonly launch: Launch | undefined;
}

/**
 * Opens the communicator. Throws `engine-unavailable` where MPI or koffi is missing, or where the library is another MPI's than the
 * launcher's.
 */
export async function openRanks(
  mode: DistributedMode,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Ranks> {
  const launch = mode === 'none' ? undefined : launchOf(environment);
  if (mode === 'none' || (mode === 'auto' && (launch?.size ?? 1) === 1)) return { communicator: alone, launch };
  const { loadMpi } = await import('./mpi-library-node.ts');
  const { startMpi } = await import('./mpi-communicator-node.ts');
  const library = await loadMpi(launch, environment);
  const communicator = startMpi(library);
  if (launch && communicator.size !== launch.size)
    throw new StableDiffusionError(
      'engine-unavailable',
      `${launch.launcher} started ${launch.size} processes, but ${library.path} (${library.version}) finds ${communicator.size}: it is the library of another MPI. Give that of the launcher in SD_MPI_LIBRARY.`,
    );
  return { communicator, launch };
}
