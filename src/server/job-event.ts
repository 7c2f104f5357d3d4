/** Events of a running job. Steps and previews are transient; state changes are also in the journal. */

import type { Job } from './job.ts';
import type { WorkflowMessage } from './run/workflow-message.ts';

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
    }
  /** A workflow's own. */
  | { readonly kind: 'workflow'; readonly id: string; readonly message: WorkflowMessage };

/** Controls that a caller can send to the worker of a job. */
export type JobControl =
  /** Give up; the result is thrown away. */
  | 'cancel'
  /** Finish with what there is. */
  | 'interrupt'
  /** Continue with the next iteration. */
  | 'skip'
  /** Somebody watches: make previews for the next seconds. */
  | 'watch'
  /** Forget what is kept in memory for a caller, whose name is in place of the job's id. */
  | 'free';

export type JobEventListener = (event: JobEvent) => void;
export type JobControlListener = (id: string, control: JobControl) => void;
