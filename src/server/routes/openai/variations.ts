/** POST /v1/images/variations: image to image without a prompt. */

import { defineRoute } from '../../http/route.ts';
import { answerImages, sharedDraft } from './answer.ts';
import { formFields, imagesResponse, variationFields } from './fields.ts';
import { storePictures } from './picture-files.ts';

export const variations = defineRoute({
  method: 'POST',
  path: '/v1/images/variations',
  summary: 'Generates variations of a picture',
  flavour: 'openai',
  body: variationFields,
  takesPictures: true,
  form: formFields,
  response: imagesResponse,
  async handle(context, request) {
    const { body } = request;
    const pictures = await storePictures(context, body.image, undefined, request);
    return answerImages(
      context,
      request,
      {
        ...sharedDraft(body, 'img2img', '', pictures),
        image: pictures.image,
        strength: body.strength ?? 0.6,
        resizeMode: 'crop',
      },
      'image_generation',
    );
  },
});
