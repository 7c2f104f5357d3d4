/** The server and its workers, to start from your own program, and its routes as a plugin for your own Fastify application. */

export { sdRoutes, type SdRoutesOptions } from './plugin.ts';
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
