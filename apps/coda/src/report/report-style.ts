/** The style sheet of the report: light and dark after the reader's setting, from phone to wide screen, and on paper. */
export const reportStyle = `
:root{color-scheme:light dark;--page:#f6f5f2;--card:#fff;--ink:#1d2128;--soft:#5a616d;--line:#e1dfd9;--accent:#1f5fbf;--bar:#1f5fbf;--track:#e9e7e1;
--exact:#0d6b45;--exact-bg:#e2f3ea;--inexact:#8a4b00;--inexact-bg:#fdf0dc;--wrong:#a8142c;--series-1:#6b7280;--series-2:#1f5fbf;
--for:#a80c28;--against:#103a94}
@media (prefers-color-scheme:dark){:root{--page:#14161a;--card:#1d2026;--ink:#e9e8e4;--soft:#a3a9b4;--line:#333841;--accent:#8ab4ff;--bar:#6ea1f7;--track:#2d323b;
--exact:#7fdcb0;--exact-bg:#12392a;--inexact:#f4bd6b;--inexact-bg:#40290a;--wrong:#ff9aa8;--series-1:#a3a9b4;--series-2:#8ab4ff;--for:#f08268;--against:#609cde}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;text-rendering:optimizeLegibility}
main,.top,.foot{max-width:1080px;margin:0 auto;padding:0 20px}
.top{padding-top:48px}
h1{font-size:clamp(1.7rem,4.5vw,2.6rem);line-height:1.15;letter-spacing:-.02em;margin:0 0 10px}
h2{font-size:1.35rem;letter-spacing:-.01em;margin:52px 0 14px}
h3{font-size:1.05rem;margin:0;overflow-wrap:anywhere}
h4{font-size:.82rem;font-weight:650;margin:0 0 8px}
p{margin:0 0 12px}
a{color:var(--accent)}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.intro{max-width:44em;color:var(--soft);font-size:1.08rem}
.number{white-space:nowrap}
.figures-grid{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:12px;margin:28px 0 0;padding:0}
.figures-grid div{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.figures-grid dt{color:var(--soft);font-size:.8rem}
.figures-grid dd{margin:2px 0 0;font-size:clamp(1.15rem,3.6vw,1.6rem);font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.figures-grid dd.small{font-size:.98rem;overflow-wrap:anywhere;font-weight:550;letter-spacing:0;line-height:1.35;padding-top:5px}
sup{font-size:.65em}sub{font-size:.7em}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:16px}
.chart{margin:0;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.chart figcaption{font-weight:650;font-size:.9rem;margin-bottom:4px}
.chart svg{display:block;width:100%;height:auto;max-width:520px}
.numbers{margin-top:10px;font-size:.9rem;color:var(--soft)}
summary{cursor:pointer;padding:6px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:4px 14px 4px 0;border-bottom:1px solid var(--line);white-space:nowrap}
.read{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,280px),1fr));gap:4px 32px}
.scale{display:flex;align-items:center;gap:10px;font-size:.85rem;margin:6px 0 14px}
.scale i{flex:1;max-width:260px;height:12px;border-radius:6px;border:1px solid var(--line);background:linear-gradient(90deg,#103a94,#609cde,#fff,#f08268,#a80c28)}
.for{color:var(--for);font-weight:600}.against{color:var(--against);font-weight:600}
.switch{display:inline-flex;gap:10px;align-items:center;min-height:44px;font-size:.95rem;cursor:pointer}
.switch input{width:20px;height:20px;accent-color:var(--accent)}
.card{background:var(--card);border:1px solid var(--line);border-radius:16px;padding:18px 20px 20px;margin:0 0 20px;break-inside:avoid}
.card header{display:flex;flex-wrap:wrap;gap:4px 16px;align-items:baseline;justify-content:space-between;margin-bottom:14px}
.verdict{margin:0;font-size:.9rem;color:var(--soft)}.verdict.right{color:var(--exact)}.verdict.wrong{color:var(--wrong)}
.lead{display:grid;grid-template-columns:minmax(0,190px) minmax(0,190px) minmax(0,1fr);gap:20px;align-items:start}
figure{margin:0}
figcaption{font-size:.8rem;color:var(--soft);margin-top:6px;line-height:1.4}
.pixels{display:block;width:100%;image-rendering:pixelated;border-radius:8px;outline:1px solid var(--line);outline-offset:-1px}
.classes ol{list-style:none;margin:0;padding:0}
.classes li{display:grid;grid-template-columns:1fr auto;gap:0 10px;font-size:.9rem;margin-bottom:7px}
.classes .p{font-variant-numeric:tabular-nums}
.classes abbr{font-size:.72rem;color:var(--soft);text-decoration:none;border:1px solid var(--line);border-radius:99px;padding:0 7px;margin-left:4px;white-space:nowrap}
.bar{grid-column:1/-1;height:6px;border-radius:3px;background:var(--track);overflow:hidden;margin-top:2px}
.bar span{display:block;height:100%;background:var(--bar);border-radius:3px}
.equation{font-size:.88rem;margin:12px 0 0;font-variant-numeric:tabular-nums}.equation span{color:var(--soft)}
.taps{margin-top:20px;border-top:1px solid var(--line);padding-top:14px}
.taps h4{display:flex;flex-wrap:wrap;gap:0 10px;align-items:baseline}
.taps h4 span{font-weight:400;color:var(--soft)}
.taps.exact h4{color:var(--exact)}.taps.inexact h4{color:var(--inexact)}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:18px 14px}
.tap .figures,.tap .badge{display:block;font-variant-numeric:tabular-nums;white-space:nowrap}
.tap .pixels+.pixels{margin-top:6px}
.size{white-space:nowrap}
.badge{display:inline-block;width:fit-content;border-radius:99px;padding:0 8px;font-size:.68rem;font-weight:600;line-height:1.7;margin:3px 0;white-space:nowrap}
.badge.exact{color:var(--exact);background:var(--exact-bg)}.badge.inexact{color:var(--inexact);background:var(--inexact-bg)}
.tap .over{display:none}
body:has(#over:checked) .tap .over{display:block}body:has(#over:checked) .tap .plain{display:none}
.meanings{display:grid;grid-template-columns:minmax(9em,max-content) 1fr;gap:8px 20px;max-width:60em;font-size:.94rem}
.meanings dt{font-weight:600}.meanings dd{margin:0;color:var(--soft)}
.foot{padding:30px 20px 60px;color:var(--soft);font-size:.86rem}
@media (max-width:720px){.top{padding-top:28px}.lead{grid-template-columns:1fr 1fr}.lead .classes{grid-column:1/-1}.card{padding:14px;border-radius:12px}
.meanings{grid-template-columns:1fr;gap:2px}.meanings dd{margin-bottom:10px}
.figures-grid{grid-template-columns:repeat(2,minmax(0,1fr))}}
@media print{body{background:#fff}.switch{display:none}}
`;
