/** `sd serve` */

import { fileURLToPath } from 'node:url';
import { defineCommand } from '../command.ts';
import { namedModelPath } from '../download-progress.ts';
import { exitCodes } from '../exit-codes.ts';
import type { TlsFiles } from '../../server/server.ts';
import { needing } from '../needed-options.ts';
import { flag, integer, list, text } from '../options.ts';
import { untilAborted, workOptions, workOptionsOf } from '../server-options.ts';

const options = {
  host: text(
    ['--host'],
    'ADDRESS',
    'address to listen on; any address other than 127.0.0.1 requires an API key (default: 127.0.0.1)',
  ),
  port: integer(['--port', '-p'], 'port; 0 chooses a free one (default: 7860)', { min: 0, max: 65535 }),
  keys: list(
    ['--api-key'],
    'NAME:KEY',
    "a caller's key; may be given several times, and as SD_API_KEYS with commas",
    (given) => given,
  ),
  cors: list(
    ['--cors-origin'],
    'ORIGIN',
    'website allowed to call the server; can be repeated (default: none)',
    (given) => given,
  ),
  web: text(['--web'], 'DIR', 'folder of the built web page to serve at / (default: the page of the package)'),
  tlsCert: needing(
    text(['--tls-cert'], 'FILE', 'certificate (PEM): the server answers https, which phones need for all of the page'),
    '--tls-key',
  ),
  tlsKey: needing(text(['--tls-key'], 'FILE', 'key of the certificate (PEM)'), '--tls-cert'),
  open: flag(['--open'], 'open the page in the browser'),
  comfyuiPage: text(
    ['--comfyui-page'],
    'DIR',
    "folder of ComfyUI's official page (static of comfyui-frontend-package), served at / in place of this program's",
  ),
  comfyuiPreviews: flag(
    ['--comfyui-previews'],
    'send intermediate pictures of workflows to clients that do not say whether they want them',
  ),
  noWork: flag(['--no-work'], 'generate no pictures in this process; leave jobs to workers on Redis'),
  fetchUrls: flag(['--fetch-urls'], 'let callers give pictures by URL; private addresses are always refused'),
  patience: integer(['--shutdown-seconds'], 'seconds that running jobs may take to finish at shutdown (default: 30)', {
    min: 0,
    max: 3600,
  }),
  ...workOptions,
};

/** Certificate and key. */
async function readTls(cert: string | undefined, key: string | undefined): Promise<TlsFiles | undefined> {
  if (cert === undefined || key === undefined) return undefined;
  const { readTextOf } = await import('../../files/open-node.ts');
  return { cert: await readTextOf('configuration', cert), key: await readTextOf('configuration', key) };
}

/** A failure is not worth an error: the address is on the terminal. */
async function openBrowser(url: string): Promise<void> {
  const { default: open } = await import('open');
  await open(url).catch(() => {});
}

export const serve = defineCommand({
  description:
    "Serves A1111's API, OpenAI's and Gemini's images APIs, ComfyUI's API, a jobs API and a web page. Accepted jobs are completed even if the server is killed.",
  options,
  takesSettings: true,
  examples: [
    'sd serve',
    'sd serve --config serve.yaml --open',
    'sd serve --model v1-5-pruned-emaonly.safetensors --port 8080',
    'sd serve --host 0.0.0.0 --api-key alice:a-long-secret --models checkpoints/',
  ],
  async run(context, _words, values) {
    const { startServer } = await import('../../server/server.ts');
    const { hasPage } = await import('../../server/http/page.ts');
    const { parseApiKeys } = await import('../../server/http/api-keys.ts');
    const { pocketModel } = await import('../../model/load-model-node.ts');
    const patience = (values.patience ?? 30) * 1000;
    context.setPatience?.(patience + 5000);
    const model = await namedModelPath(context, values.model);
    const { environment, err } = context;
    const work = workOptionsOf({ ...values, model }, { model: pocketModel, environment, isTerminal: err.isTerminal });
    const texts = [...(values.keys ?? []), ...(context.environment['SD_API_KEYS'] ?? '').split(',').filter(Boolean)];
    const webFolder = values.web ?? fileURLToPath(new URL('../../../web/dist', import.meta.url));
    const keys = parseApiKeys(texts);
    const server = await startServer({
      ...work,
      // Without keys all callers are the person at this machine, who looks for pictures here.
      outputFolder:
        values.outdir === undefined && keys.length === 0 && values.redis === undefined ? 'outputs' : work.outputFolder,
      tls: await readTls(values.tlsCert, values.tlsKey),
      host: values.host,
      port: values.port,
      keys,
      corsOrigins: values.cors,
      webFolder,
      comfyuiPage: values.comfyuiPage,
      comfyuiPreviews: values.comfyuiPreviews,
      work: !values.noWork,
      policy: { ...work.policy, fetchUrls: values.fetchUrls },
    });
    context.out.write(`Serving at ${server.url}\n`);
    if (values.open) await openBrowser(server.url);
    if (values.comfyuiPage === undefined && !hasPage(webFolder))
      context.err.write('The page is not built. To build it, run: npm run page\n');
    await untilAborted(context.signal);
    context.err.write('Finishing running jobs. Press Ctrl-C again to stop at once; accepted jobs are kept.\n');
    await server.stop(patience);
    return exitCodes.ok;
  },
});
