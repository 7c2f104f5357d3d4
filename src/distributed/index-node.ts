/** Processes that work together, over MPI or alone. */

export { mustAgree } from './agreement.ts';
export { alone, type Communicator, type Moved, type Numbers, type Reduction } from './communicator.ts';
export { type Launch, launchOf } from './launch.ts';
export { type DistributedMode, openRanks, type Ranks } from './open-node.ts';
