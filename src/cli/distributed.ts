/** Commands that run on many processes: the option, the communicator, and what each rank prints. */

import { availableParallelism, cpus } from 'node:os';
import type { Communicator } from '../distributed/communicator.ts';
import { threadsOfRank } from '../distributed/launch.ts';
import { type DistributedMode, distributedModes, openRanks } from '../distributed/open-node.ts';
import { StableDiffusionError } from '../errors.ts';
import type { CliContext, TextOutput } from './command.ts';
import { choice } from './options.ts';

export const distributedOptions = {
  distributed: choice(
    ['--distributed'],
    distributedModes,
    'several processes on MPI (default: auto, if mpirun, mpiexec or srun started them)',
  ),
};

/** Milliseconds for the error of a rank to be printed before it ends the others. */
const lastWords = 2000;

/** The output of ranks after the first: no results, and the rank before each line of the rest. */
function quietened(context: CliContext, rank: number): CliContext {
  const prefixed: TextOutput = {
    ...context.err,
    isTerminal: false,
    write: (text) => context.err.write(text.replace(/^(?=.)/gm, `rank ${rank}: `)),
    control: () => {},
  };
  return { ...context, out: { ...context.out, isTerminal: false, write: () => {}, control: () => {} }, err: prefixed };
}

export interface RankSetting {
  readonly communicator: Communicator;
  /** Threads of the engine: those asked for, or with several ranks this rank's share of the machine's cores. */
  readonly threads: number | undefined;
}

/**
 * Runs a command with the communicator of this process. A rank that fails does not end MPI in order, so that the launcher ends the other
 * ranks; where this rank still waits for them it does so itself.
 */
export async function withRanks(
  context: CliContext,
  { distributed, threads }: { readonly distributed: DistributedMode | undefined; readonly threads: number | undefined },
  run: (setting: RankSetting, context: CliContext) => Promise<number>,
): Promise<number> {
  const { communicator, launch } = await openRanks(distributed ?? 'auto', context.environment);
  if (communicator.size === 1) {
    const code = await run({ communicator, threads }, context);
    await communicator[Symbol.asyncDispose]();
    return code;
  }
  const share = threadsOfRank(launch?.localSize, { available: availableParallelism(), all: cpus().length });
  const own = communicator.rank === 0 ? context : quietened(context, communicator.rank);
  try {
    const code = await run({ communicator, threads: threads ?? share }, own);
    await communicator[Symbol.asyncDispose]();
    return code;
  } catch (error) {
    setTimeout(() => communicator.abort(1), lastWords).unref();
    if (communicator.rank === 0 || !(error instanceof StableDiffusionError)) throw error;
    const { code, details, message } = error;
    throw new StableDiffusionError(code, `On rank ${communicator.rank}: ${message}`, { details, cause: error });
  }
}
