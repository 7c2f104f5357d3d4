/** The thread that computes in the browser: the library's host. */

import { serveWorker, type WorkerScope } from 'stable-diffusion-ts/worker/host-web.ts';

serveWorker(globalThis as unknown as WorkerScope);
