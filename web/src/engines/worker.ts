/** The thread that computes in the browser: the library's host. */

import { serveWorker, type WorkerScope } from 'stable-diffusion-ts/pipelines/worker-host-web.ts';

serveWorker(globalThis as unknown as WorkerScope);
