/** Routes of A1111's page framework (Gradio). Clients use them to detect a web UI, and read its page's lists. */

import * as z from 'zod';
import { defineRoute, json, type Route } from '../../http/route.ts';
import { latentModes, upscalerNames } from './upscaler-table.ts';

const hiresUpscalers = [...Object.keys(latentModes), ...Object.keys(upscalerNames)];

/** Only those parts of the page that clients look for. */
const components = [
  {
    id: 1,
    type: 'dropdown',
    props: { elem_id: 'txt2img_hr_upscaler', label: 'Upscaler', choices: hiresUpscalers, value: hiresUpscalers[0] },
  },
];

const answers: readonly (readonly [path: string, summary: string, value: unknown])[] = [
  [
    '/config',
    "Gradio's page: the upscalers of hires. fix",
    { version: '3.41.2', mode: 'blocks', title: 'Stable Diffusion', components },
  ],
  ['/app_id', 'A number for this server', { app_id: 1 }],
  ['/user', "Nobody is logged in to Gradio's page", null],
  ['/login_check', 'Login check of Gradio: none required', null],
];

export const gradio: readonly Route[] = answers.map(([path, summary, value]) =>
  defineRoute({
    method: 'GET',
    path,
    summary,
    flavour: 'a1111',
    response: z.unknown(),
    handle: async () => json(value),
  }),
);
