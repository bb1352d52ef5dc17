// What the four figures share: sliders that show their value, and a canvas that is measured in its own units.
"use strict";

function slider(id, show, changed) {
  const input = document.getElementById(id);
  const output = input.parentElement.querySelector("output");
  const update = () => { output.textContent = show(Number(input.value)); };
  input.addEventListener("input", () => { update(); changed(); });
  update();
  return () => Number(input.value);
}

function surface(canvas, [left, right], [bottom, top]) {
  const context = canvas.getContext("2d");
  const x = (value) => ((value - left) / (right - left)) * canvas.width;
  const y = (value) => canvas.height - ((value - bottom) / (top - bottom)) * canvas.height;

  // Paint each cell of a coarse grid by the colour of its middle.
  function paint(colour, cell = 4) {
    for (let column = 0; column < canvas.width; column += cell) {
      for (let row = 0; row < canvas.height; row += cell) {
        const a = left + ((column + cell / 2) / canvas.width) * (right - left);
        const b = top - ((row + cell / 2) / canvas.height) * (top - bottom);
        context.fillStyle = colour(a, b);
        context.fillRect(column, row, cell, cell);
      }
    }
  }

  function path(points, colour, dash = []) {
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.setLineDash(dash);
    context.beginPath();
    points.forEach(([a, b], index) => (index ? context.lineTo(x(a), y(b)) : context.moveTo(x(a), y(b))));
    context.stroke();
    context.setLineDash([]);
  }

  function dot(a, b, colour, radius = 6) {
    context.fillStyle = colour;
    context.strokeStyle = "black";
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(x(a), y(b), radius, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
  return { context, paint, path, dot };
}

// Bands of grey-blue by the logarithm of a height, so that a valley's floor can be seen.
function band(height) {
  const level = Math.floor(4 * Math.log10(1 + 20 * height));
  const light = Math.max(28, 92 - 7 * level);
  return `hsl(215 30% ${light}%)`;
}
