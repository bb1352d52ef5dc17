import numpy as np
import torch
from PIL import Image

from tinytorch_course.data.gallery import first_of_each_class, in_letters, shrunk, write_sheet
from tinytorch_course.data.splits import Dataset, Split

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(side=8):
    """Red above green on the left, blue above white on the right: (3, side, side)."""
    image = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    for rows, columns, colour in (
        (slice(half), slice(half), RED),
        (slice(half, side), slice(half), GREEN),
        (slice(half), slice(half, side), BLUE),
        (slice(half, side), slice(half, side), WHITE),
    ):
        image[rows, columns] = colour
    return torch.from_numpy(image).permute(2, 0, 1)


def test_pixels_stand_where_they_are_in_their_colours():
    small = shrunk(quarters(), 2, 2)
    assert small.dtype == torch.uint8
    assert small.permute(1, 2, 0).tolist() == [[list(RED), list(BLUE)], [list(GREEN), list(WHITE)]]
    assert shrunk(quarters(), 1, 1).flatten().tolist() == [128, 128, 128]  # 127.5 in each channel


def test_letters_are_denser_where_it_is_lighter():
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    image[:, :4, 4:] = 255
    image[:, 4:, :4] = 113  # four ninths of white
    assert in_letters(image, 4) == ["  @@", "==  "]


def test_the_sheet_shows_the_first_images_of_each_class(tmp_path):
    images = torch.stack([torch.full((3, 8, 8), value, dtype=torch.uint8) for value in (10, 20, 30, 40, 50)])
    train = Split(images, torch.tensor([1, 0, 1, 1, 0]))
    assert [one[:, 0, 0, 0].tolist() for one in first_of_each_class(train, 2, 2)] == [[20, 50], [10, 30]]
    dataset = Dataset("two", "Two", ("a", "b"), train, train, train, (0.5,) * 3, (0.5,) * 3, "nowhere", 1)
    write_sheet(dataset, tmp_path / "sheet.png", 2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))[..., 0]
    rows = [np.unique(sheet[row, -2 * 60 :]).tolist() for row in (4 + 28, 4 + 60 + 28)]
    assert rows == [[20, 50, 255], [10, 30, 255]]
