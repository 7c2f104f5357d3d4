/** Events of a running job. Steps and previews are transient; state changes are also in the journal. */

import type { Job } from './job.ts';

export type JobEvent =
  | { readonly kind: 'state'; readonly id: string; readonly job: Job }
  | {
      readonly kind: 'step';
      readonly id: string;
      /** Completed steps, over all pictures of the job. */
      readonly done: number;
      readonly total: number;
      /** Within the pictures that are being made: 1 … steps. */
      readonly step: number;
      readonly steps: number;
      /** Pictures finished. */
      readonly pictures: number;
    }
  | {
      readonly kind: 'preview';
      readonly id: string;
      readonly picture: number;
      readonly step: number;
      readonly mediaType: string /** base64 */;
      readonly data: string;
    };

/** Controls that a caller can send to the worker of a job. */
export type JobControl =
  /** Give up; the result is thrown away. */
  | 'cancel'
  /** Finish with what there is. */
  | 'interrupt'
  /** Continue with the next iteration. */
  | 'skip'
  /** Somebody watches: make previews for the next seconds. */
  | 'watch';

export type JobEventListener = (event: JobEvent) => void;
export type JobControlListener = (id: string, control: JobControl) => void;
