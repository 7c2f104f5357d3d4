/** The networks in the server's folders that describe pictures. */

import type { DescriberNetwork } from '../../models/describers/index.ts';

/** The kind of such a network among those of the preprocessors. */
export const describerKind = ({ kind }: Pick<DescriberNetwork, 'kind'>): string => `describer_${kind}`;

/** That of a CLIP which compares words with pictures. */
export const wordRankerKind = 'word_ranker';
