import { parseHTML } from 'linkedom';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { ndArray } from '@coda-nets/core';
import { durationText, escapeHtml, percentHtml, scientificHtml, signedText } from '../src/report/escape-html.ts';
import { learningCurves } from '../src/report/learning-curves.ts';
import { renderReport } from '../src/report/render-report.ts';
import { exampleImage, exampleReport } from './report-example.ts';

/** As much of the DOM as is looked at; the project's compiler settings have none. */
interface Found {
  readonly textContent: string;
  readonly classList: { contains(name: string): boolean };
  getAttribute(name: string): string | null;
  querySelector(selector: string): Found | null;
  querySelectorAll(selector: string): Iterable<Found> & { readonly length: number };
}

const parse = (html: string): Found => parseHTML(html).document as unknown as Found;

const HOSTILE = `"><script>alert('x')</script>&<img src=http://evil.example/x onerror=alert(1)>`;

describe('renderReport', () => {
  let html = '';
  let document: Found;
  beforeAll(async () => {
    html = await renderReport(exampleReport(3));
    document = parse(html);
  });
  const all = (selector: string): Found[] => Array.from(document.querySelectorAll(selector));
  const texts = (selector: string): string[] => all(selector).map((x) => x.textContent.replace(/[\u202f\u00a0]/g, ' '));

  test('needs nothing but itself', () => {
    expect(all('script, link, iframe, object, embed, base, form')).toEqual([]);
    expect(html).not.toMatch(/url\(|@import|\son\w+=/);
    for (const image of all('img')) expect(image.getAttribute('src')).toMatch(/^data:image\/png;base64,[A-Za-z0-9+/]+=*$/);
    expect(all('a').map((a) => a.getAttribute('href'))).toEqual(['https://arxiv.org/abs/2109.13004', 'https://arxiv.org/abs/2104.00032']);
  });

  test('shows every figure it was given', () => {
    expect(texts('h1')).toEqual(['A hybrid ResNet-20 + CoDA on CIFAR-10']);
    expect(texts('.figures-grid dd')).toEqual([
      '87.13 %',
      '4 min 12 s',
      '3.4 × 10−7',
      '2.1 × 10−6',
      '965,760',
      'ONNX Runtime 1.30.0, CPU, 2 threads',
    ]);
    expect(texts('footer')[0]).toBe('Written by coda-nets. Commit f279b2e. Seed 7. Computed by ONNX Runtime 1.30.0, CPU, 2 threads.');
  });

  test('every map says which of the two it is, with its sum and residual', () => {
    const captions = texts('.card:first-of-type .tap figcaption');
    expect(captions).toHaveLength(9);
    expect(captions[0]).toMatch(/^input 32×32gradient × activationΣ \+\d\.\d{3}residual 0\.\d+$/);
    expect(captions[8]).toMatch(/^head\.2 8×8exactΣ \+5\.297residual (0|\d\.\d × 10−\d+)$/);
    for (const group of all('section.taps')) {
      const exact = group.classList.contains('exact');
      expect(group.querySelector('h4')?.textContent).toMatch(exact ? /^Exact contributions/ : /^Gradient × activation/);
      const badges = Array.from(group.querySelectorAll('.badge'), (badge) => badge.textContent);
      expect(new Set(badges)).toEqual(new Set([exact ? 'exact' : 'gradient × activation']));
    }
  });

  test('every picture is described', () => {
    // One image, one large map, and two views of each of nine taps, for three images.
    expect(all('img')).toHaveLength(3 * (2 + 18));
    for (const image of all('img')) expect(image.getAttribute('alt')?.length).toBeGreaterThan(10);
    expect(all('.tap img')[0]?.getAttribute('alt')).toMatch(/^Gradient × activation map for airplane at input, \d+ % of it in favour$/);
    for (const chart of all('svg')) expect(chart.getAttribute('aria-label')).toMatch(/^(Accuracy|Loss) over epochs$/);
  });

  test('pictures are of the map they stand for', async () => {
    const uri = all('.card .lead img')[0]?.getAttribute('src') ?? '';
    const { data, info } = await sharp(Buffer.from(uri.split(',')[1] as string, 'base64'))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([32, 32]);
    expect([...data]).toEqual([...exampleImage(0).picture.data]);
  });

  test('says what is right and what is wrong', () => {
    expect(texts('.verdict')).toEqual(['✓ airplane, correct', '✓ automobile, correct', '✗ says bird, is dog']);
    const first = texts('.card:first-of-type .classes li');
    expect(first).toHaveLength(5);
    expect(first[0]).toMatch(/^airplane true explained95\.7 %$/);
  });

  test('is the same each time', async () => {
    expect(await renderReport(exampleReport(3))).toBe(html);
  });
});

test('text from outside stays text', async () => {
  const report = exampleReport(1);
  const [image] = report.images;
  if (image === undefined) throw new Error('no image');
  const taps = image.explanation.taps.map((tap) => ({ ...tap, name: HOSTILE }));
  const html = await renderReport({
    ...report,
    title: HOSTILE,
    summary: HOSTILE,
    figures: { ...report.figures, engine: HOSTILE, commit: HOSTILE },
    classNames: report.classNames.map(() => HOSTILE),
    images: [{ ...image, name: HOSTILE, explanation: { ...image.explanation, taps } }],
  });
  const document = parse(html);
  expect(document.querySelectorAll('script').length).toBe(0);
  expect(document.querySelectorAll('[onerror]').length).toBe(0);
  expect(html).not.toContain('<script');
  expect(html).not.toContain('<img src=http');
  expect(document.querySelector('h1')?.textContent).toBe(HOSTILE);
  expect(document.querySelector('.tap img')?.getAttribute('alt')).toContain(`at ${HOSTILE}`);
});

test('what is not known is left out', async () => {
  const html = await renderReport({ title: 'Empty', figures: {}, history: [], classNames: [], images: [] });
  const document = parse(html);
  expect(document.querySelectorAll('.figures-grid, .card, svg').length).toBe(0);
  expect(html).not.toMatch(/undefined|NaN/);
});

test('a six-channel linear map is shown in its colours', async () => {
  const report = exampleReport(1);
  const [image] = report.images;
  if (image === undefined) throw new Error('no image');
  const full = {
    linearMap: ndArray('float32', [32, 32, 6], new Float32Array(6144).fill(1)),
    contributions: ndArray('float32', [32, 32, 6], new Float32Array(6144)),
  };
  const taps = image.explanation.taps.map((tap) => (tap.name === 'input' ? { ...tap, full } : tap));
  const html = await renderReport({ ...report, images: [{ ...image, explanation: { ...image.explanation, taps } }] });
  const alts = Array.from(parse(html).querySelectorAll('.tap img'), (x) => x.getAttribute('alt'));
  expect(alts[2]).toBe('The linear map from input in colours, for airplane');
  expect(alts).toHaveLength(19);
});

describe('learningCurves', () => {
  test('leaves room for the labels behind the last points', () => {
    const html = learningCurves(
      [
        { epoch: 1, validationAccuracy: 0.5, validationLoss: 0.0712 },
        { epoch: 2, validationAccuracy: 0.88, validationLoss: 0.0682 },
      ],
      'validation',
    );
    const labels = Array.from(
      parse(html).querySelectorAll('svg text'),
      (x) => [x.textContent, /translate\(([\d.]+)/.exec(x.getAttribute('transform') ?? '')?.[1]] as const,
    ).filter(([text]) => text?.startsWith('validation '));
    expect(labels.map(([text]) => text)).toEqual(['validation 88%', 'validation 0.0682']);
    // 440 wide; a letter of 12 px semibold system-ui is 6.7 px on average
    for (const [text, x] of labels) expect(Number(x) + 8 + 6.7 * (text as string).length).toBeLessThan(440);
  });

  const paths = (html: string): number =>
    Array.from(parse(html).querySelectorAll('svg path[stroke-linejoin], svg [aria-label=line] path')).length;

  test('draws a line for each series that is there, in charts and in a table', () => {
    const html = learningCurves(
      [
        { epoch: 1, trainLoss: 0.5 },
        { epoch: 2, trainLoss: 0.25, validationAccuracy: 0.9 },
      ],
      'test',
    );
    expect(Array.from(parse(html).querySelectorAll('svg'), (x) => x.getAttribute('aria-description'))).toEqual([
      'test ends at 90%',
      'train ends at 0.25',
    ]);
    expect(paths(html)).toBe(2);
    const rows = Array.from(parse(html).querySelectorAll('tbody tr'), (row) => row.textContent.replace(/\u202f/g, ' '));
    expect(rows).toEqual(['1––0.5000–', '2–90.0 %0.2500–']);
  });

  test('one epoch, no epoch and numbers that are none are no trouble', () => {
    expect(learningCurves([], 'test')).toBe('');
    expect(learningCurves([{ epoch: 1, trainLoss: 1, trainAccuracy: 0.5 }], 'test')).not.toMatch(/NaN|undefined/);
    expect(learningCurves([{ epoch: 1, trainLoss: Number.NaN }], 'test')).not.toMatch(/NaN|undefined|<svg/);
  });
});

test('numbers as people write them', () => {
  expect(escapeHtml(`<a href="x" title='y'>&`)).toBe('&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;');
  expect(percentHtml(0.9132)).toBe('91.3\u202f%');
  expect(scientificHtml(1.23e-7)).toBe('<span class="number">1.2\u202f×\u202f10<sup>−7</sup></span>');
  expect([0, 0.256, 12.34, Infinity].map(scientificHtml)).toEqual(['0', '0.26', '12', 'Infinity']);
  expect([1.25, 42, 59.7, 75, 3661].map(durationText).map((x) => x.replaceAll('\u00a0', ' '))).toEqual([
    '1.3 s',
    '42 s',
    '1 min 0 s',
    '1 min 15 s',
    '1 h 1 min',
  ]);
  expect([signedText(-0.5), signedText(2, 1)]).toEqual(['−0.50', '+2.0']);
});
