/**
 * GITS: levels found on the geometry of sampling trajectories, for 2 to 20 steps and a coefficient of the search from 0.80 to 1.50 (Chen et
 * al. 2024, arXiv 2405.11326). The numbers are those that its authors published, as ComfyUI's GITSScheduler has them.
 */

import { StableDiffusionError } from '../../errors.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { logLinear } from './align-your-steps.ts';

/** The levels that occur, from the first of every schedule to the last. */
// prettier-ignore
const levels = [
  14.61464119, 13.76078796, 12.96784878, 12.2308979, 11.54541874, 10.90732002, 10.31284904, 9.75859547, 9.24142551,
  8.75849152, 8.30717278, 7.88507891, 7.49001646, 7.11996698, 6.77309084, 6.44769001, 6.14220476, 5.85520077,
  5.58536053, 5.09240818, 4.86714602, 4.65472794, 4.45427561, 4.26497746, 3.91689563, 3.75677586, 3.60512662,
  3.46139455, 3.32507086, 3.1956799, 3.07277966, 2.95596409, 2.84484982, 2.6383388, 2.54230714, 2.45070267, 2.36326075,
  2.27973175, 2.19988537, 2.12350607, 2.05039096, 1.98035145, 1.91321158, 1.84880662, 1.78698075, 1.72759056,
  1.67050016, 1.61558151, 1.56271636, 1.51179266, 1.46270394, 1.41535246, 1.36964464, 1.32549286, 1.28281462,
  1.24153244, 1.20157266, 1.162866, 1.12534678, 1.08895338, 1.05362725, 1.01931262, 0.98595673, 0.95350921, 0.92192322,
  0.89115214, 0.86115354, 0.83188516, 0.803307, 0.77538133, 0.74807048, 0.72133851, 0.69515091, 0.66947293, 0.64427125,
  0.61951244, 0.59516323, 0.57119018, 0.54755926, 0.52423614, 0.50118381, 0.4783645, 0.45573691, 0.43325692, 0.41087446,
  0.38853383, 0.36617002, 0.34370604, 0.32104823, 0.29807833, 0.27464288, 0.25053367, 0.22545385, 0.19894916,
  0.17026083, 0.13792117, 0.09824532, 0.02916753,
];

/** A character for each level. */
const characters = '!#%&()*+,-.0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_abcdefghijklmnopqrstuvwxyz{|}~ÀÁÂÃÄÅÆÇÈÉ';

/** By the coefficient: the schedules of 2, 3, … 20 steps without their first and last level. */
const schedules: Readonly<Record<string, string>> = {
  '0.80':
    '1 (3 (1C (16M &-16M &-16CU %(-16CU #&)-16CU #%&)-16CU #%&),.16CU #%&),.159CU #%&(*,.159CU #%&()*,.159CU #' +
    '%&()*,-.159CU #%&()*,-.159BNi #%&()*+,-.159BNi #%&()*+,-.136:CPj #%&()*+,-.0136:CPj #%&()*+,-.01369>EQk',
  '0.85':
    '1 1P (3U (2C] (18Ef &-18Ef &-17BPk %(-17BPk %(-15:CPk #&)-15:CPk #&),.15:CPk #%&),.15:CPk #%&(*,.15:CPk #' +
    '%&(*,.159?FUn #%&(*,.136:@HUn #%&(*,-.136:@HUn #%&()*,-.136:@HUn #%&()*+,-.136:@HUn #%&()*+,-.0136:@HUn',
  '0.90':
    '3 1U 1Cf 19Gh (19Gh (18CTo &-29CTo &-16;DTo &-16;BK]t %)-16;BK]t %(,.16;BK]t %(,.159>EPbv #&),.159>EPbv #' +
    '&),.147;AHTfy #%&),.147;AHTfy #%&),.1369=CJUfy #%&(*,.1369=CJUfy #%&(*,-.1369=CJUfy #%&(*,-.1368;?DKVhz',
  '0.95':
    '3 3U 1Eh 19Ik 19DUq (19DUq (19CObw (16;CObw &-16;CObw &-16;BKXk| &-16:@FP]n~ %)-16:@FP]n~ %)-159>DKUcqÀ %' +
    ')-147:?DKUcqÀ %(,.147:?DKUcqÀ %(,.147:>CHQ]jwÄ %(,.1368;?DIR]jwÄ #&),.1368;?DIR]jwÄ #&),.1368;>CHOWcnzÅ',
  '1.00':
    'U 3f 3Ik 2CUs 19EXt 19ETi| (19ETi| (19CN]n~ (16;CN]n~ (16;BJVfuÃ (16;BITbn{Æ (-16;BITbn{Æ (-16:?ELUbn{Æ (' +
    '-16:?EKT_kwÂÈ (-16:>CHPYdnyÃÈ (-158<@EKS]gqzÃÈ (-158<?DHOVajs|ÄÈ &,.158<?DHOVajs|ÄÈ &,.1368<?DHOVajs|ÄÈ',
  '1.05':
    'f 3h 3Mn 3E[v 3CTk~ 19EUk~ 19ETfvÄ 19CN]m{Æ 19BJVfs~Ç 18@HTbnyÃÈ (18@HTbnyÃÈ (16;BITbnyÃÈ (16;BHR]is|ÄÈ (' +
    '16:?EKT_js|ÄÈ (16:?EKS[fnv~ÅÈ (16:?DIPXbjryÀÅÈ (16:?DHOV^fmtzÁÅÈ (.26:?DHOV^fmtzÁÅÈ (.26:?DHNTZbiou{ÁÅÈ',
  '1.10':
    'h In 6Tt 3Hby 3DUk~ 3CThxÅ 3CPbq~Ç 19ETfuÂÈ 19DO]kxÃÈ 19CMXfq{ÄÈ 19BJTaku}ÄÈ 19AHR]hqyÀÅÈ 18?EMVbkszÁÅÈ 1' +
    '8?ELT]fnu{ÁÅÈ 16;BHPXbjqw}ÃÆÈ 16;BHOV^fmsy~ÃÆÈ 16;@EKRYbiouz~ÃÆÈ (16;@EKRYbiouz~ÃÆÈ (16;@EKRYbhnsx|ÁÄÆÈ',
  '1.15':
    'j Ps 6Uv 6Oj~ 6H]sÃ 6EVk{Æ 6EUhwÃÈ 3CPanzÄÈ 3CO]kv~ÅÈ 19DO]kv~ÅÈ 19CMYfoxÀÅÈ 19CLVbkszÁÅÈ 19CLVbksy~ÃÆÈ 1' +
    '9CKT]fmsy~ÃÆÈ 19BHQZdkqw|ÁÄÆÈ 19BHQZdkqv{ÀÃÅÇÈ 19BHPXahnsx|ÀÃÅÇÈ 19BHPXahnsw{~ÂÄÆÇÈ 19BHPXahnsw{~ÁÃÅÆÇÈ',
  '1.20':
    'k Uv Ig} E]sÃ 6MfyÆ 6H]qÁÈ 6HYkyÃÈ 6ETfs}ÅÈ 6ESbmwÀÅÈ 6DP]js{ÂÆÈ 6CNYfow}ÃÆÈ 3@IUbksy~ÃÆÈ 3@HT_iqw|ÁÄÆÈ 1' +
    ':CLVbjqw|ÁÄÆÈ 1:CLVbjqw{ÀÃÅÇÈ 1:CLVbjqw{~ÂÄÆÇÈ 1:CKT^gnty}ÁÃÅÆÇÈ 1:CKT]fmsx|ÀÂÄÅÆÇÈ 1:CKT]fmsw{~ÁÃÄÅÆÇÈ',
  '1.25':
    'n Uw MkÀ IfzÆ E]sÂÈ CVkzÄÈ 6I]n{ÄÈ 6HYjv~ÅÈ 6ETeqzÂÆÈ 6ESbmv}ÃÆÈ 6ER_ksy~ÃÆÈ 6DP]iqx}ÂÅÇÈ 6DP[gov{ÀÃÅÇÈ 6' +
    'DOZfnuz~ÂÄÆÇÈ 6DOZfnty}ÁÃÅÆÇÈ 6DOZfmsx|ÀÂÄÅÆÇÈ 6CMXckrw{~ÁÃÄÅÆÇÈ 6CMXckqvz}ÀÂÃÄÅÆÇÈ 6CMWbjpuy|~ÁÂÃÄÅÆÇÈ',
  '1.30':
    'n ]z UsÄ Pk}Ç IdvÃÈ EYm{ÄÈ CUhu~ÅÈ CTfr{ÂÆÈ 6HYju}ÃÆÈ 6HXgqy~ÃÆÈ 6FUdnw}ÂÅÇÈ 6ETcmu{ÀÃÅÇÈ 6ETbltz~ÂÄÆÇÈ 6' +
    'ETbksy}ÁÃÅÆÇÈ 6ETbksx|ÀÂÄÅÆÇÈ 6ER_jqw{~ÁÃÄÅÆÇÈ 6ER_jqvz}ÀÂÃÄÅÆÇÈ 6EQ]gnty|~ÁÂÃÄÅÆÇÈ 6EQ]gntx{}ÀÁÂÃÄÅÆÇÈ',
  '1.35':
    'o f~ UtÅ ToÁÈ PjzÄÈ H_q}ÅÈ EYkwÀÅÈ EXju}ÃÆÈ EUfqyÀÄÆÈ EUfqy~ÃÅÇÈ CTdnv|ÁÄÆÇÈ CTdnv{ÀÃÅÆÇÈ CTcmuz~ÂÄÅÆÇÈ C' +
    'Raksy}ÁÃÄÅÆÇÈ CRaksx|ÀÂÃÄÅÆÇÈ 6HVdmty}ÀÂÃÄÅÆÇÈ 6FTbkrw{~ÁÂÃÄÅÆÇÈ 6FTbkqvz}ÀÁÂÃÄÅÆÇÈ 6FTbkqvy|~ÀÁÂÃÄÅÆÇÈ',
  '1.40':
    's f~ bzÇ UqÂÈ TkzÄÈ Mfu~ÅÈ H]nzÂÆÈ H]mw~ÃÆÈ H[kv}ÂÅÇÈ H[ku|ÁÄÆÇÈ EXiszÀÃÅÆÇÈ EVfqy~ÂÄÅÆÇÈ EVfqx}ÁÃÄÅÆÇÈ E' +
    'Ueov{~ÁÃÄÅÆÇÈ EUdnuz}ÀÂÃÄÅÆÇÈ ETcmty|~ÁÂÃÄÅÆÇÈ ETbkrw{}ÀÁÂÃÄÅÆÇÈ ETbkrwz|~ÀÁÂÃÄÅÆÇÈ ETbkqvy{}~ÀÁÂÃÄÅÆÇÈ',
  '1.45':
    's kÃ f~È ]uÃÈ Un}ÅÈ TkyÂÆÈ Oft}ÃÆÈ Kbq{ÂÅÇÈ H]mw~ÃÅÇÈ H]mw}ÂÄÆÇÈ H[ku{ÀÃÅÆÇÈ H[ktz~ÂÄÅÆÇÈ H[jsy}ÁÃÄÅÆÇÈ H' +
    '[jsy}ÀÂÃÄÅÆÇÈ EVfov{~ÁÂÃÄÅÆÇÈ EVfovz}ÀÁÂÃÄÅÆÇÈ EUenuy|~ÀÁÂÃÄÅÆÇÈ EUdmtx{}~ÀÁÂÃÄÅÆÇÈ EUdmswz|}~ÀÁÂÃÄÅÆÇÈ',
  '1.50':
    'u kÃ iÀÈ ]uÃÈ Un}ÅÈ TkyÂÆÈ Tjv~ÃÆÈ Pfs|ÂÅÇÈ Pfs{ÁÄÆÇÈ PfrzÀÃÅÆÇÈ Kanw}ÂÄÅÆÇÈ Kanw}ÁÃÄÅÆÇÈ I]ktz~ÁÃÄÅÆÇÈ I' +
    ']ktz~ÁÂÃÄÅÆÇÈ I]ksy}ÀÁÂÃÄÅÆÇÈ I]ksy|~ÀÁÂÃÄÅÆÇÈ HZiqw{}~ÀÁÂÃÄÅÆÇÈ HYgouy{}~ÀÁÂÃÄÅÆÇÈ HXfntxz|}~ÀÁÂÃÄÅÆÇÈ',
};

/** The levels of a coefficient and a number of steps from 2, the last one 0; a part of the steps from the end. Throws `invalid-argument`. */
export function gitsLevels(coefficient: number, steps: number, denoise: number): Float32Array {
  const found = schedules[coefficient.toFixed(2)];
  if (found === undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      `GITS has no schedule for the coefficient ${coefficient}. Choose 0.80 to 1.50 in steps of 0.05.`,
    );
  if (denoise <= 0) return new Float32Array();
  const texts = found.split(' ');
  const inner = Array.from(
    texts[Math.min(steps, texts.length + 1) - 2] ?? '',
    (one) => levels[characters.indexOf(one)],
  );
  const table = [levels[0], ...inner, levels.at(-1)] as number[];
  const all = steps > texts.length + 1 ? logLinear(table, steps + 1) : table;
  const left = denoise < 1 ? roundHalfEven(steps * denoise) : steps;
  const sigmas = Float32Array.from(all.slice(-(left + 1)));
  sigmas[sigmas.length - 1] = 0;
  return sigmas;
}
