/** Runs in a worker: the library's host. */

import { serveWorker, type WorkerScope } from '../../src/index-web.ts';

serveWorker(globalThis as unknown as WorkerScope);
