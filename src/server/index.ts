/** The server and its workers, to start from a program of one's own. `sd serve` and `sd worker` are these two functions. */

export { defaultLimits, type Limits } from './limits.ts';
export {
  createLogger,
  type RunningServer,
  type RunningWorker,
  type ServeOptions,
  startServer,
  startWorker,
  type WorkOptions,
} from './server.ts';
