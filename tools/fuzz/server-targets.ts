/** The readers of requests that are fuzzed: JSON bodies by every route's schema, forms, workflows. */

import multipart from '@fastify/multipart';
import Fastify from 'fastify';
import { parseExactJson, printExactJson } from '../../src/formats/exact-json.ts';
import { readForm } from '../../src/server/http/form.ts';
import { readJsonBodies } from '../../src/server/http/json-body.ts';
import { checkTexts, workOfGraph } from '../../src/server/comfyui/prompt-work.ts';
import { defaultLimits } from '../../src/server/limits.ts';
import { routes } from '../../src/server/routes/index.ts';
import { apiGraph, graphObject } from '../../src/workflow/graph.ts';
import type { NameLists } from '../../src/workflow/input-spec.ts';
import { nodes } from '../../src/workflow/nodes/index.ts';
import { validateWorkflow } from '../../src/workflow/validate.ts';
import type { FuzzTarget } from './targets.ts';

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A program that reads bodies as the server does; its answer says what it made of them. */
async function startReader() {
  const app = Fastify({ bodyLimit: defaultLimits.smallBodyBytes });
  readJsonBodies(app, { values: defaultLimits.bodyElements, depth: defaultLimits.jsonDepth });
  await app.register(multipart);
  const schemas = routes.flatMap(({ body }) => (body ? [body] : []));
  app.post('/json', async ({ body }) => schemas.filter((schema) => schema.safeParse(body).success).length);
  app.post('/form', async (request) => (await readForm(request, defaultLimits.smallBodyBytes, defaultLimits)).length);
  await app.ready();
  return app;
}
let reader: ReturnType<typeof startReader> | undefined;

/** Throws where the server would answer 500. */
async function send(url: string, type: string, payload: Uint8Array): Promise<void> {
  reader ??= startReader();
  const app = await reader;
  const answer = await app.inject({
    method: 'POST',
    url,
    headers: { 'content-type': type },
    payload: Buffer.from(payload),
  });
  // Errors of ours have no status here; the server gives them one.
  const { code } = answer.json<{ readonly code?: string }>();
  const isOurs = code === 'too-large' || code === 'invalid-argument';
  if (answer.statusCode >= 500 && !isOurs) throw new Error(`${answer.statusCode} ${answer.body}`);
}

const boundary = 'xyz';
const form = (...parts: readonly string[]): string =>
  `${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join('')}--${boundary}--\r\n`;

const lists: NameLists = { names: () => ['a.safetensors'], exists: () => true };

export const serverTargets: Readonly<Record<string, FuzzTarget>> = {
  body: {
    run: (bytes) => send('/json', 'application/json', bytes),
    corpus: () =>
      [
        '{"prompt":"a","steps":"20","cfg_scale":7.5,"override_settings":{"a":[1]},"seed":-1,"width":512}',
        '{"init_images":["iVBORw0KGgo="],"mask":"iVBORw0KGgo=","denoising_strength":0.5,"alwayson_scripts":{}}',
        '{"prompt":"a","n":2,"size":"512x512","model":"x","stream":true,"output_format":"webp"}',
        '{"contents":[{"parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]}]}',
        '{"steps":2,"batchSize":2,"prompt":"\\u0001","priority":"high","webhook":"https://x/y"}',
      ].map(encode),
  },
  form: {
    run: (bytes) => send('/form', `multipart/form-data; boundary=${boundary}`, bytes),
    corpus: () =>
      [
        form('content-disposition: form-data; name="prompt"\r\n\r\na red apple'),
        form(
          'content-disposition: form-data; name="image"; filename="a.png"\r\ncontent-type: image/png\r\n\r\nPNG',
          'content-disposition: form-data; name="n"\r\n\r\n2',
        ),
        form(
          'content-disposition: form-data; name="a"; filename*=UTF-8\'\'%41\r\ncontent-transfer-encoding: base64\r\n\r\neA==',
        ),
      ].map(encode),
  },
  workflow: {
    run(bytes) {
      const graph = apiGraph(parseExactJson(new TextDecoder().decode(bytes), 'The workflow'));
      checkTexts(graph, defaultLimits);
      const checked = validateWorkflow(graph, nodes, lists);
      printExactJson(checked.nodeErrors);
      if (checked.valid) workOfGraph(checked.graph, defaultLimits);
      printExactJson(graphObject(checked.graph));
    },
    corpus: () =>
      [
        '{"1":{"class_type":"EmptyImage","inputs":{"width":64,"height":64,"batch_size":1,"color":0}},"2":{"class_type":"ImageScale","inputs":{"image":["1",0],"upscale_method":"area","width":8,"height":8,"crop":"disabled"}},"3":{"class_type":"PreviewImage","inputs":{"images":["2",0]}}}',
        '{"4":{"class_type":"CheckpointLoaderSimple","inputs":{"ckpt_name":"a.safetensors"}},"5":{"class_type":"EmptyLatentImage","inputs":{"width":64,"height":64,"batch_size":1}},"6":{"class_type":"CLIPTextEncode","inputs":{"text":"a","clip":["4",1]}},"3":{"class_type":"KSampler","inputs":{"seed":18446744073709551615,"steps":2,"cfg":4.0,"sampler_name":"euler","scheduler":"normal","denoise":1,"model":["4",0],"positive":["6",0],"negative":["6",0],"latent_image":["5",0]}},"8":{"class_type":"VAEDecode","inputs":{"samples":["3",0],"vae":["4",2]}},"9":{"class_type":"SaveImage","inputs":{"filename_prefix":"%year%/x","images":["8",0]}}}',
        '{"a":{"class_type":"RepeatLatentBatch","inputs":{"samples":["a",0],"amount":{"__value__":[1,2]}},"_meta":{"title":"x"}},"b":{"class_type":"PreviewAny","inputs":{"source":["a",0]}}}',
      ].map(encode),
  },
};
