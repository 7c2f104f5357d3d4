/** The worker thread of enlarge.ts. */

import { parentPort, workerData } from 'node:worker_threads';
import { resize } from '../../image/resize.ts';
import type { EnlargeTask } from './enlarge.ts';

const { image, width, height, crop, filter } = workerData as EnlargeTask;
/** The middle of the picture with the proportions wanted. */
const scale = Math.max(width / image.width, height / image.height);
const [w, h] = [Math.min(image.width, width / scale), Math.min(image.height, height / scale)];
const [left, top] = [(image.width - w) / 2, (image.height - h) / 2];
const made = resize(image, width, height, filter, crop ? { left, top, right: left + w, bottom: top + h } : undefined);
parentPort?.postMessage(made.data);
