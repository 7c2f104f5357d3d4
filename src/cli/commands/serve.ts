/** `sd serve` */

import { fileURLToPath } from 'node:url';
import { defineCommand } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { flag, integer, list, text } from '../options.ts';
import { untilAborted, workOptions, workOptionsOf } from '../server-options.ts';

const limit = (name: string, what: string) => integer([`--max-${name}`], what, { min: 1 });

const options = {
  host: text(
    ['--host'],
    'ADDRESS',
    'the address to listen on; another than 127.0.0.1 wants an API key (default: 127.0.0.1)',
  ),
  port: integer(['--port', '-p'], 'the port; 0 takes a free one (default: 7860)', { min: 0, max: 65535 }),
  keys: list(
    ['--api-key'],
    'NAME:KEY',
    "a caller's key; may be given several times, and as SD_API_KEYS with commas",
    (given) => given,
  ),
  cors: list(
    ['--cors-origin'],
    'ORIGIN',
    'a site whose pages may use the server; may be given several times (default: none)',
    (given) => given,
  ),
  web: text(['--web'], 'DIR', 'the built page to serve at / (default: the one that comes with the program)'),
  noWork: flag(['--no-work'], 'make no pictures in this process; workers on Redis do'),
  fetchUrls: flag(['--fetch-urls'], 'let callers name pictures by URL; never of private addresses'),
  body: limit('body-bytes', 'most bytes of a request (default: 33554432)'),
  pixels: limit('pixels', 'most pixels of a picture (default: 4194304)'),
  steps: limit('steps', 'most steps (default: 150)'),
  pictures: limit('pictures', 'most pictures of a request (default: 32)'),
  queueLength: limit('queue', 'most jobs that wait (default: 1000)'),
  queuePerCaller: limit('queue-per-key', 'most jobs of one caller that wait or run (default: 500)'),
  patience: integer(['--shutdown-seconds'], 'how long jobs under way may take to end at shutdown (default: 30)', {
    min: 0,
    max: 3600,
  }),
  ...workOptions,
};

export const serve = defineCommand({
  description:
    "Serves A1111's API, OpenAI's images API, an API of jobs, and a page. Jobs that were accepted are made even if the server is killed.",
  options,
  examples: [
    'sd serve',
    'sd serve --model v1-5-pruned-emaonly.safetensors --port 8080',
    'sd serve --host 0.0.0.0 --api-key alice:a-long-secret --models checkpoints/',
  ],
  async run(context, _words, values) {
    const { startServer } = await import('../../server/server.ts');
    const { parseApiKeys } = await import('../../server/http/api-keys.ts');
    const { pocketModel } = await import('../../model/load-model-node.ts');
    const patience = (values.patience ?? 30) * 1000;
    context.setPatience?.(patience + 5000);
    const work = workOptionsOf(values, { model: pocketModel, environment: context.environment });
    const texts = [...(values.keys ?? []), ...(context.environment['SD_API_KEYS'] ?? '').split(',').filter(Boolean)];
    const limits = {
      bodyBytes: values.body,
      pixels: values.pixels,
      steps: values.steps,
      pictures: values.pictures,
      queueLength: values.queueLength,
      queuePerCaller: values.queuePerCaller,
    };
    const server = await startServer({
      ...work,
      host: values.host,
      port: values.port,
      keys: parseApiKeys(texts),
      corsOrigins: values.cors,
      webFolder: values.web ?? fileURLToPath(new URL('../../../web/dist', import.meta.url)),
      work: !values.noWork,
      limits: {
        ...work.limits,
        ...Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
      },
      policy: { ...work.policy, fetchUrls: values.fetchUrls },
    });
    context.out.write(`Serving at ${server.url}\n`);
    await untilAborted(context.signal);
    context.err.write('Finishing what is under way. Ctrl-C again ends at once; accepted jobs are kept.\n');
    await server.stop(patience);
    return exitCodes.ok;
  },
});
