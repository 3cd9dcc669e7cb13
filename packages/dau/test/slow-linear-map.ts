/** W(x) once more, as a full matrix in float64 that loops over every output, unit and patch element. Shares no code with the package. */
import { slowUnits, type SlowDau } from './slow-dau.ts';
import { slowEdauUnits, type SlowEdau } from './slow-edau.ts';

/** Rows × columns, row by row. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

const unitsOf = (layer: SlowDau | SlowEdau): readonly { readonly w: Float64Array; readonly patch: Float64Array }[] =>
  'bound' in layer ? slowEdauUnits(layer) : slowUnits(layer);

/** W(x) of one image: [H'·W'·n, H·W·C]. */
export function slowMatrix(layer: SlowDau | SlowEdau): Matrix {
  const columns = layer.x.length;
  const units = unitsOf(layer);
  // the same loops over an input of places say where each patch element came from
  const places = unitsOf({ ...layer, x: layer.x.map((_, i) => i + 1) });
  const data = new Float64Array(units.length * columns);
  for (const [row, { w }] of units.entries()) {
    for (const [i, wi] of w.entries()) {
      const place = ((places[row] as { patch: Float64Array }).patch[i] as number) - 1;
      if (place >= 0) data[row * columns + place] = (data[row * columns + place] as number) + wi;
    }
  }
  return { rows: units.length, columns, data };
}

function product(a: Matrix, b: Matrix): Matrix {
  const data = new Float64Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < a.columns; k++) {
      const aik = a.data[i * a.columns + k] as number;
      for (let j = 0; j < b.columns; j++)
        data[i * b.columns + j] = (data[i * b.columns + j] as number) + aik * (b.data[k * b.columns + j] as number);
    }
  }
  return { rows: a.rows, columns: b.columns, data };
}

export function times({ rows, columns, data }: Matrix, v: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < columns; j++) sum += (data[i * columns + j] as number) * (v[j] as number);
    return sum;
  });
}

export function transposed({ rows, columns, data }: Matrix): Matrix {
  const turned = Float64Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)] as number);
  return { rows: columns, columns: rows, data: turned };
}

/** z − b₀ of the last map [positions, classes]: sums over positions, divided by T. */
function slowReadout(positions: number, classes: number, temperature: number): Matrix {
  const data = new Float64Array(classes * positions * classes);
  for (let p = 0; p < positions; p++) for (let c = 0; c < classes; c++) data[(c * positions + p) * classes + c] = 1 / temperature;
  return { rows: classes, columns: positions * classes, data };
}

export interface SlowNetwork {
  /** rgb6 already applied: [H, W, C] of one image. */
  readonly x: Float64Array;
  readonly shape: readonly [number, number, number];
  /** All but `x` and `shape`, which come from the layer below. */
  readonly layers: readonly (Omit<SlowDau, 'x' | 'shape'> | Omit<SlowEdau, 'x' | 'shape'>)[];
  readonly temperature: number;
}

export interface SlowMaps {
  /** a_0 … a_L */
  readonly activations: readonly Float64Array[];
  /** W_1 … W_L, then the readout: a_i = W_i a_{i−1}. */
  readonly matrices: readonly Matrix[];
}

/** A CoDA network at one image, every map built. */
export function slowNetwork({ x, shape, layers, temperature }: SlowNetwork): SlowMaps {
  let [height, width, channels] = shape;
  const activations = [x];
  const matrices: Matrix[] = [];
  for (const layer of layers) {
    const matrix = slowMatrix({ ...layer, x: activations.at(-1) as Float64Array, shape: [1, height, width, channels] });
    const side = (length: number): number => Math.floor((length + 2 * layer.padding - layer.k) / layer.stride) + 1;
    [height, width, channels] = [side(height), side(width), layer.n];
    activations.push(times(matrix, activations.at(-1) as Float64Array));
    matrices.push(matrix);
  }
  matrices.push(slowReadout(height * width, channels, temperature));
  return { activations, matrices };
}

/** W_{from→to} = W_to ⋯ W_{from+1}; `to` = the number of matrices is the readout. */
export function between({ matrices }: SlowMaps, from: number, to = matrices.length): Matrix {
  return matrices.slice(from, to).reduce((below, above) => product(above, below));
}
