/** The server and its workers, to start from your own program. `sd serve` and `sd worker` call these two functions. */

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
