/** POST /sdapi/v1/interrogate: words for a picture. */

import * as z from 'zod';
import { describerNamed, type DescribeOptions } from '../../describe-picture.ts';
import { atField } from '../../http/problem.ts';
import { readPicture } from '../../http/picture-input.ts';
import { defineRoute, json } from '../../http/route.ts';
import { optionsOf } from './option-table.ts';

/** The options of A1111's settings page "Interrogate". */
function describeOptions(options: ReturnType<typeof optionsOf>): DescribeOptions {
  const number = (name: string): number => Number(options[`interrogate_${name}`]);
  const shares = options['interrogate_return_ranks'] === true;
  const skipped = options['interrogate_clip_skip_categories'];
  return {
    caption: {
      beams: number('clip_num_beams'),
      shortest: number('clip_min_length'),
      longest: number('clip_max_length'),
    },
    words: { limit: number('clip_dict_limit'), skipped: Array.isArray(skipped) ? skipped.map(String) : [], shares },
    tags: {
      threshold: number('deepbooru_score_threshold'),
      sorted: options['deepbooru_sort_alpha'] === true,
      spaces: options['deepbooru_use_spaces'] === true,
      escaped: options['deepbooru_escape'] === true,
      without: String(options['deepbooru_filter_tags']),
      scores: shares,
    },
  };
}

export const interrogate = defineRoute({
  method: 'POST',
  path: '/sdapi/v1/interrogate',
  summary:
    'Describes a picture: `clip` in a sentence by BLIP, `deepdanbooru` in tags, where the server has the network',
  flavour: 'a1111',
  body: z.object({ image: z.string().default(''), model: z.string().max(200).default('clip') }),
  takesPictures: true,
  response: z.object({ caption: z.string() }),
  async handle(context, { body, owner, signal }) {
    const describe = describerNamed(context, body.model);
    const caption = await atField(['body', 'image'], async () => {
      const bytes = await readPicture(context, body.image.trim(), signal);
      return describe(bytes, describeOptions(optionsOf(context, owner)), { owner, signal });
    });
    return json({ caption });
  },
});
