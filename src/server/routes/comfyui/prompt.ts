/** `/prompt`: how many workflows wait or run, and a workflow to run. */

import * as z from 'zod';
import { printExactJson } from '../../../formats/exact-json.ts';
import { submitPrompt } from '../../comfyui/submit-prompt.ts';
import { json } from '../../http/route.ts';
import { comfyRoute } from './define.ts';
import { rawJson } from './raw-json.ts';

const counting = comfyRoute({
  method: 'GET',
  path: '/prompt',
  summary: 'How many workflows wait or run',
  response: z.object({ exec_info: z.object({ queue_remaining: z.int() }) }),
  handle: async ({ comfyui }, { owner }) => json({ exec_info: { queue_remaining: comfyui.hub.open(owner).length } }),
});

const sending = comfyRoute({
  method: 'POST',
  path: '/prompt',
  summary:
    'Runs a workflow in API format: prompt, client_id, prompt_id, number, front, extra_data, partial_execution_targets',
  body: z.custom<Uint8Array>().optional(),
  rawBody: true,
  bodyLimit: 'workflowBytes',
  response: z.unknown(),
  async handle(context, { owner, body }) {
    const submitted = await submitPrompt(context, owner, body);
    const nodeErrors = submitted.nodeErrors;
    if ('refused' in submitted) {
      const answer = printExactJson({ error: submitted.refused, node_errors: nodeErrors });
      return { ...rawJson(answer), status: 400 };
    }
    const { promptId, number } = submitted;
    return rawJson(printExactJson({ prompt_id: promptId, number, node_errors: nodeErrors }));
  },
});

export const promptRoutes = [...counting, ...sending];
