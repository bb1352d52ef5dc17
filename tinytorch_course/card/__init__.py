"""Result cards: what a trained network can do, how that was found out, and what it takes to find it out again."""
