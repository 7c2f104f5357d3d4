/** Jobs under way: one workflow, or jobs whose pictures are made together. */

import type { Job } from '../job.ts';
import type { JobControl } from '../job-event.ts';

export interface RunningJobs {
  readonly jobs: readonly Job[];
  control(id: string, control: JobControl): void;
  /** Resolves when all jobs have been ended in the queue. */
  readonly done: Promise<void>;
}
