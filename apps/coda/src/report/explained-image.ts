/** One explained image as HTML: the picture, its most probable classes, its map from the exact tap nearest to the input, and a tile for every tap. */
import { encodePng, heatMap, linearMapPicture, overlay, type Explanation, type Picture, type TapExplanation } from '@coda-nets/depth';
import { escapeHtml, percentHtml, scientificHtml, signedText } from './escape-html.ts';

export interface ReportImage {
  readonly name: string;
  readonly picture: Picture;
  /** The true class, where it is known. */
  readonly label?: number | undefined;
  readonly explanation: Explanation;
}

/** How many classes get a bar. */
const TOP = 5;

/** The `index`-th card, from 1. */
export async function explainedImage(image: ReportImage, index: number, classNames: readonly string[]): Promise<string> {
  const { name, picture, label, explanation } = image;
  const classOf = (c: number): string => escapeHtml(classNames[c] ?? `class ${c}`);
  const explained = classOf(explanation.target);
  const order = Array.from(explanation.probabilities.data.keys()).sort(
    (a, b) => (explanation.probabilities.data[b] as number) - (explanation.probabilities.data[a] as number) || a - b,
  );
  const top = order[0] as number;
  const main = explanation.taps.find((tap) => tap.exact) ?? explanation.taps[0];
  const alt = `The image ${escapeHtml(name)}${label === undefined ? '' : `, which shows ${classOf(label)}`}`;
  const id = `image-${index}`;
  return [
    `<article class="card" aria-labelledby="${id}">`,
    `<header><h3 id="${id}">${escapeHtml(name)}</h3>${verdict(top, label, classOf)}</header>`,
    '<div class="lead">',
    `<figure><img class="pixels" src="${await dataUri(picture)}" alt="${alt}"><figcaption>image</figcaption></figure>`,
    main === undefined ? '' : await mainMap(picture, main, explained),
    bars(explanation, order.slice(0, TOP), label, classOf),
    '</div>',
    await tapGroups(picture, explanation.taps, explained),
    '</article>',
  ].join('');
}

function verdict(top: number, label: number | undefined, classOf: (c: number) => string): string {
  if (label === undefined) return `<p class="verdict">says ${classOf(top)}</p>`;
  return top === label
    ? `<p class="verdict right"><span aria-hidden="true">✓</span> ${classOf(top)}, correct</p>`
    : `<p class="verdict wrong"><span aria-hidden="true">✗</span> says ${classOf(top)}, is ${classOf(label)}</p>`;
}

async function mainMap(picture: Picture, tap: TapExplanation, explained: string): Promise<string> {
  const alt = `${mapAlt(tap, explained)}, laid over the image`;
  const uri = await dataUri(overlay(picture, tap.map));
  return `<figure><img class="pixels" src="${uri}" alt="${alt}"><figcaption>why ${explained}, from <code>${escapeHtml(tap.name)}</code> ${badge(tap)}</figcaption></figure>`;
}

function bars(
  { probabilities, target, logit, taps }: Explanation,
  classes: readonly number[],
  label: number | undefined,
  classOf: (c: number) => string,
): string {
  const rows = classes.map((c) => {
    const p = probabilities.data[c] as number;
    const marks = [
      c === label ? '<abbr title="the true class">true</abbr>' : '',
      c === target ? '<abbr title="the class that is explained">explained</abbr>' : '',
    ];
    return `<li><span class="class">${classOf(c)} ${marks.join(' ')}</span><span class="p">${percentHtml(p)}</span><span class="bar" aria-hidden="true"><span style="width:${(100 * p).toFixed(1)}%"></span></span></li>`;
  });
  const expected = taps[0]?.expected;
  const equation =
    expected === undefined
      ? ''
      : `<p class="equation">z − b<sub>0</sub> = <strong>${signedText(expected, 3)}</strong> <span>(logit z ${signedText(logit, 3)})</span></p>`;
  return `<div class="classes"><h4>Most probable classes</h4><ol>${rows.join('')}</ol>${equation}</div>`;
}

/** Neighbouring taps of one kind under one heading that says which of the two their numbers are. */
async function tapGroups(picture: Picture, taps: readonly TapExplanation[], explained: string): Promise<string> {
  const groups: TapExplanation[][] = [];
  for (const tap of taps) {
    const last = groups.at(-1);
    if (last !== undefined && last[0]?.exact === tap.exact) last.push(tap);
    else groups.push([tap]);
  }
  const html = groups.map(async (group) => {
    const exact = group[0]?.exact === true;
    const tiles = await Promise.all(group.map((tap) => tile(picture, tap, explained)));
    const heading = exact
      ? 'Exact contributions <span>each map sums to z − b<sub>0</sub></span>'
      : 'Gradient × activation <span>below the cut: a hint, not a decomposition</span>';
    return `<section class="taps ${exact ? 'exact' : 'inexact'}"><h4>${heading}</h4><div class="tiles">${tiles.join('')}</div></section>`;
  });
  return (await Promise.all(html)).join('');
}

async function tile(picture: Picture, tap: TapExplanation, explained: string): Promise<string> {
  const alt = mapAlt(tap, explained);
  const [h, w] = tap.map.shape as [number, number];
  const images = [
    `<img class="pixels plain" src="${await dataUri(heatMap(tap.map))}" alt="${alt}">`,
    `<img class="pixels over" src="${await dataUri(overlay(picture, tap.map))}" alt="${alt}, laid over the image">`,
  ];
  const { full } = tap;
  const colours =
    full?.linearMap.shape[2] === 6
      ? `<img class="pixels" src="${await dataUri(linearMapPicture(full.linearMap, tap.map))}" alt="The linear map from ${escapeHtml(tap.name)} in colours, for ${explained}">`
      : '';
  return (
    `<figure class="tap">${images.join('')}${colours}<figcaption><code>${escapeHtml(tap.name)}</code> <span class="size">${h}×${w}</span>${badge(tap)}` +
    `<span class="figures">Σ ${signedText(tap.sum, 3)}</span><span class="figures">residual ${scientificHtml(tap.residual)}</span></figcaption></figure>`
  );
}

function badge({ exact }: TapExplanation): string {
  return exact ? '<span class="badge exact">exact</span>' : '<span class="badge inexact">gradient × activation</span>';
}

function mapAlt({ name, exact, map }: TapExplanation, explained: string): string {
  const kind = exact ? 'Exact contribution map' : 'Gradient × activation map';
  const positive = map.data.reduce((sum, x) => sum + Math.max(0, x), 0);
  const all = map.data.reduce((sum, x) => sum + Math.abs(x), 0);
  const share = all === 0 ? '' : `, ${Math.round((100 * positive) / all)} % of it in favour`;
  return `${kind} for ${explained} at ${escapeHtml(name)}${share}`;
}

/** A picture as a PNG inside of the page. */
async function dataUri(picture: Picture): Promise<string> {
  return `data:image/png;base64,${Buffer.from(await encodePng(picture)).toString('base64')}`;
}
