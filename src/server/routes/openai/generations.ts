/** POST /v1/images/generations */

import { defineRoute } from '../../http/route.ts';
import { answerImages, sharedDraft } from './answer.ts';
import { generationFields, imagesResponse } from './fields.ts';

export const generations = defineRoute({
  method: 'POST',
  path: '/v1/images/generations',
  summary: 'Generates pictures from a prompt',
  flavour: 'openai',
  body: generationFields,
  response: imagesResponse,
  handle: (context, request) =>
    answerImages(context, request, sharedDraft(request.body, 'txt2img', request.body.prompt), 'image_generation'),
});
