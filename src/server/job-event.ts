/** What is told about a job while it is under way. Steps and previews are passing; a change of state is also in the journal. */

import type { Job } from './job.ts';

export type JobEvent =
  | { readonly kind: 'state'; readonly id: string; readonly job: Job }
  | {
      readonly kind: 'step';
      readonly id: string;
      /** Steps done of those of all pictures of the job. */
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

/** What a caller can tell the worker that makes a job. */
export type JobControl =
  /** Give up; the result is thrown away. */
  | 'cancel'
  /** Finish with what there is. */
  | 'interrupt'
  /** Go on with the next iteration. */
  | 'skip'
  /** Somebody watches: make previews for the next seconds. */
  | 'watch';

export type JobEventListener = (event: JobEvent) => void;
export type JobControlListener = (id: string, control: JobControl) => void;
