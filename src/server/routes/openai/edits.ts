/** POST /v1/images/edits: inpainting with a mask or transparency, else image to image. */

import { defineRoute } from '../../http/route.ts';
import { answerImages, sharedDraft } from './answer.ts';
import { editFields, formFields, imagesResponse } from './fields.ts';
import { storePictures } from './picture-files.ts';

export const edits = defineRoute({
  method: 'POST',
  path: '/v1/images/edits',
  summary: 'Regenerates the transparent part of a picture or mask, or a whole picture',
  flavour: 'openai',
  body: editFields,
  takesPictures: true,
  form: formFields,
  response: imagesResponse,
  async handle(context, request) {
    const { body } = request;
    const given = body.image ?? body.images?.map(({ image_url }) => image_url) ?? [];
    const sketch =
      body.mask && typeof body.mask === 'object' && 'image_url' in body.mask ? body.mask.image_url : body.mask;
    const { image, mask, ...size } = await storePictures(context, given, sketch, request);
    return answerImages(
      context,
      request,
      {
        ...sharedDraft(body, mask ? 'inpaint' : 'img2img', body.prompt, size),
        image,
        ...(mask ? { mask } : {}),
        strength: body.strength ?? (mask ? 1 : body.input_fidelity === 'high' ? 0.5 : 0.75),
        resizeMode: 'stretch',
        ...(mask ? { inpaint: { blurX: 4, blurY: 4, fill: 'original', invert: false } } : {}),
      },
      'image_edit',
    );
  },
});
