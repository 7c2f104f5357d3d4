/**
 * Limits of one request, one caller and the whole server. The operator sets them; every limit is checked before memory or time is
 * spent. One table: `sd serve --help` and docs/guides/server.md show it.
 */

import { StableDiffusionError } from '../errors.ts';
import { definedFields } from '../config/defined-fields.ts';

export interface LimitRow {
  /** The default. */
  readonly value: number;
  /** The option of `sd serve`. Limits without one are fixed. */
  readonly flag?: `--${string}`;
  readonly help: string;
  /** Why there is such a limit, and why it has this value. */
  readonly reason: string;
}

const row = (value: number, flag: LimitRow['flag'], help: string, reason: string): LimitRow => ({
  value,
  ...(flag ? { flag } : {}),
  help,
  reason,
});

const mebi = 2 ** 20;

export const limitTable = {
  bodyBytes: row(
    32 * mebi,
    '--max-body-bytes',
    'maximum bytes of a request',
    'A picture of 4096 x 4096 as base64 fits.',
  ),
  smallBodyBytes: row(
    mebi,
    undefined,
    'maximum bytes of a request that carries no picture',
    'The longest prompts fit many times.',
  ),
  bodyElements: row(
    10_000,
    '--max-body-elements',
    'maximum values in a JSON body',
    'They are counted before the body is parsed; A1111 has about 500 options.',
  ),
  jsonDepth: row(
    64,
    undefined,
    'lists or objects of a JSON body inside each other (400)',
    'Deeper ones can be parsed, but not written again.',
  ),
  workflowElements: row(
    500_000,
    undefined,
    'maximum values in a workflow, counted before it is parsed',
    'Ten thousand nodes, with what a page keeps of their places.',
  ),
  workflowNames: row(
    30_000,
    undefined,
    'maximum different names in a workflow: ids of nodes, names of inputs and of what a page keeps',
    'Ten thousand nodes, and what a page keeps for each of them twice.',
  ),
  workflowBytes: row(
    4 * mebi,
    undefined,
    'maximum bytes of a workflow, with what is sent along',
    'Large ones have some 500 kB. It is read by the thread that answers everybody.',
  ),
  workflowBytesPerCaller: row(
    64 * mebi,
    undefined,
    'maximum bytes of workflows of one caller that wait or run (429)',
    'They are held until they are done.',
  ),
  workflowMemory: row(
    512 * mebi,
    '--max-workflow-memory',
    'maximum bytes of pictures and latents that a workflow holds at a time',
    '32 pictures of 1024 x 1024; the work on them takes as much again.',
  ),
  nodeSeconds: row(
    120,
    undefined,
    'maximum seconds of one node of a workflow that computes on pictures',
    'The widest blur of a picture of 2048 x 2048.',
  ),
  historyBytes: row(
    32 * mebi,
    undefined,
    "bytes of finished workflows in one answer of ComfyUI's history; older ones are left out",
    'Some hundred of the longest workflows.',
  ),
  filesListed: row(10_000, undefined, 'files of a caller in one list', 'More than a person keeps on the page.'),
  settingsBytes: row(
    mebi,
    undefined,
    "maximum bytes of a caller's settings of ComfyUI's page",
    'They have a few kilobytes.',
  ),
  requestSeconds: row(
    60,
    undefined,
    'maximum seconds to receive a request',
    'A slow sender holds a connection no longer.',
  ),
  bytesInFlight: row(
    256 * mebi,
    '--max-bytes-in-flight',
    'maximum bytes of all request bodies at the same time (503)',
    'Bodies and what is parsed of them stay below 1 GB.',
  ),
  bytesInFlightPerCaller: row(
    96 * mebi,
    '--max-bytes-in-flight-per-key',
    'maximum bytes of request bodies per caller (429)',
    'Three of the largest requests at a time.',
  ),
  answerBytes: row(
    512 * mebi,
    undefined,
    'maximum bytes of answers that are not read yet, beside the first of each caller (503)',
    'Each is held until its client has read it.',
  ),
  answerBytesPerCaller: row(
    128 * mebi,
    undefined,
    'maximum bytes of answers of one caller that are not read yet, beside the first (429)',
    'Eight of the largest pictures; who reads has few open.',
  ),
  answerSeconds: row(
    60,
    undefined,
    'seconds without a byte read until the client of a large answer is let go',
    'A client that has stopped holds the answer no longer.',
  ),
  filesReadAtOnce: row(
    4,
    undefined,
    'files of one caller that are read for answers at the same time',
    'Others of the same caller wait unread.',
  ),
  requestsUnderWay: row(8000, undefined, 'requests under way at the same time (503)', 'Each holds a few kilobytes.'),
  requestsUnderWayPerCaller: row(
    2000,
    undefined,
    'requests under way for one caller (429)',
    'More than the jobs that may wait.',
  ),
  requestsBegunAtOnce: row(
    16,
    undefined,
    'requests of one caller that are begun at once; further ones wait their turn',
    'A page makes about as many when it opens. Others wait for one of the rest, and not for all.',
  ),
  formFields: row(64, undefined, 'maximum fields of a form', "OpenAI's longest form has 20."),
  formFiles: row(16, undefined, 'maximum files of a form', 'As many pictures as OpenAI takes for an edit.'),
  formFieldBytes: row(mebi, undefined, 'maximum bytes of a field of a form', 'The longest prompts fit many times.'),
  formBoundaries: row(
    200,
    undefined,
    'maximum lines of a form that begin as the boundaries between its parts do (413)',
    'A form has at most 80 fields and files, and a picture hardly such a line by chance.',
  ),
  requestsPerMinute: row(
    12_000,
    '--max-requests-per-minute',
    'maximum requests of one caller a minute (429)',
    '200 a second: a page that polls makes two.',
  ),
  failedKeysPerMinute: row(
    60,
    undefined,
    'wrong API keys from one address a minute (429)',
    'Guessing a key is slowed down; a wrong setting is not.',
  ),
  connections: row(
    10_000,
    undefined,
    'open connections',
    'Beyond it new ones are closed; system limits are often near.',
  ),
  pipelined: row(
    16,
    undefined,
    'requests on one connection that wait for the one before',
    'No known client sends more; the connection is closed.',
  ),
  eventStreams: row(4000, undefined, 'event streams at the same time (503)', 'Each costs little while its job waits.'),
  eventStreamsPerCaller: row(
    200,
    '--max-event-streams-per-key',
    'maximum event streams of one caller (429)',
    'A page has one for each job that it shows.',
  ),
  pixels: row(
    2048 * 2048,
    '--max-pixels',
    'maximum pixels per generated picture',
    'Memory of the network grows with them.',
  ),
  inputPixels: row(
    4096 * 4096,
    '--max-input-pixels',
    'maximum pixels of an uploaded picture, by its header',
    'Decoded it takes 64 MB.',
  ),
  pictureSeconds: row(20, undefined, 'seconds of work on one uploaded picture', 'The largest allowed takes about two.'),
  picturesAtOnce: row(
    2,
    undefined,
    'uploaded pictures at work at the same time, one for a caller',
    'Each has a process of its own; others wait undecoded.',
  ),
  steps: row(150, '--max-steps', 'maximum steps', "A1111's limit."),
  pictures: row(32, '--max-pictures', 'maximum pictures of a request', 'Batch size times iterations.'),
  scriptPictures: row(
    256,
    '--max-script-pictures',
    "maximum pictures of one of A1111's scripts, such as X/Y/Z plot",
    'A grid of 16 x 16.',
  ),
  scriptPixels: row(
    2 ** 26,
    undefined,
    'maximum pixels of all pictures of a script together',
    'A grid of them takes 192 MB while it is drawn.',
  ),
  controls: row(8, undefined, 'maximum controls of a job', 'Each is a network in memory, with a picture.'),
  promptLength: row(10_000, undefined, 'maximum characters of a prompt', 'Some 2,500 tokens.'),
  infotextLength: row(65_536, undefined, 'maximum characters of a settings text', 'Four prompts of the longest kind.'),
  jobWork: row(
    2 ** 31,
    '--max-work',
    'maximum work of a job: steps x pixels x pictures, twice with guidance, half more for each control',
    '32 pictures of 512 x 512 in 128 steps.',
  ),
  jobSeconds: row(
    2 * 3600,
    '--max-job-seconds',
    'maximum seconds of work on a job',
    'What a sampler that adapts its steps may take.',
  ),
  queueLength: row(1000, '--max-queue', 'maximum jobs that wait (503)', 'Minutes to hours of work.'),
  queuePerCaller: row(
    500,
    '--max-queue-per-key',
    'maximum jobs of one caller that wait or run (429)',
    'Half the queue.',
  ),
  keptPerCaller: row(
    2000,
    '--keep-jobs-per-key',
    'finished jobs kept for one caller; the oldest are removed',
    'The journal stays small.',
  ),
  storedBytesPerCaller: row(
    4096 * mebi,
    '--max-stored-bytes-per-key',
    'maximum bytes that one caller uploads, and keeps by workflows, within a day (429)',
    'One caller does not fill the disk.',
  ),
  attempts: row(5, '--attempts', 'maximum attempts per job', 'A job may be what ends the process.'),
} satisfies Readonly<Record<string, LimitRow>>;

export type Limits = { readonly [K in keyof typeof limitTable]: number };

export const defaultLimits: Limits = Object.fromEntries(
  Object.entries(limitTable).map(([name, { value }]) => [name, value]),
) as Limits;

/** The defaults with the operator's values over them. Throws `invalid-argument` for unknown names, and for what is no positive number. */
export function limitsOf(given: Partial<Limits> = {}): Limits {
  const own = definedFields(given);
  for (const [name, value] of Object.entries(own)) {
    if (!Object.hasOwn(defaultLimits, name))
      throw new StableDiffusionError('invalid-argument', `There is no limit ${JSON.stringify(name)}.`);
    if (typeof value !== 'number' || !(value > 0))
      throw new StableDiffusionError('invalid-argument', `The limit ${name} must be a positive number, got ${value}.`);
  }
  return { ...defaultLimits, ...own };
}
