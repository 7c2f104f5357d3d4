/** The worker thread of picture-thread.ts. */

import { parentPort, workerData } from 'node:worker_threads';
import { enlarge } from '../../image/enlarge.ts';
import { composeInpainted } from '../../image/inpaint-region.ts';
import type { PictureTask } from './picture-thread.ts';

const task = workerData as PictureTask;
const done =
  task.kind === 'enlarge' ? enlarge(task.image, task.enlargement) : composeInpainted(task.overlay, task.made);
parentPort?.postMessage(done);
