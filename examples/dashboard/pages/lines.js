// A line over time on a canvas; a hole where nothing was measured stays a hole.
const HOLE_SECONDS = 3;

/** @param points [[unix time, share from 0 to 1], ...], oldest first */
export function draw(canvas, points, now, seconds) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = devicePixelRatio;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const x = (at) => width - ((now - at) / seconds) * width;
  const y = (share) => height - 2 - Math.min(share, 1) * (height - 4);

  pen.strokeStyle = style.getPropertyValue("--grid");
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    pen.beginPath();
    pen.moveTo(0, y(share));
    pen.lineTo(width, y(share));
    pen.stroke();
  }

  pen.strokeStyle = style.color;
  pen.fillStyle = style.color;
  pen.lineWidth = 2;
  pen.lineJoin = "round";
  for (const run of runs(points)) {
    const line = new Path2D();
    run.forEach(([at, share]) => line.lineTo(x(at), y(share)));
    pen.stroke(line);
    line.lineTo(x(run.at(-1)[0]), height);
    line.lineTo(x(run[0][0]), height);
    pen.globalAlpha = 0.15;
    pen.fill(line);
    pen.globalAlpha = 1;
  }
}

function runs(points) {
  const found = [];
  let before = -Infinity;
  for (const point of points) {
    if (point[0] - before > HOLE_SECONDS) found.push([]);
    found.at(-1).push(point);
    before = point[0];
  }
  return found;
}
