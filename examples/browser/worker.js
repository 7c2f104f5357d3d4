// The thread that computes.
import { serveWorker } from './stable-diffusion.js';

serveWorker(globalThis);
