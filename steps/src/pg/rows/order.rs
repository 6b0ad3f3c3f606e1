//! In which order tables are written: what is referenced first; those that reference each other
//! in one statement, whose foreign keys are checked at its end.

/// Groups of tables, by number, those referenced first. An edge is (what references, what is
/// referenced).
pub(super) fn groups(tables: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let reaches = reaches(tables, edges);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (table, reached) in reaches.iter().enumerate() {
        let together = |group: &&mut Vec<usize>| reached[group[0]] && reaches[group[0]][table];
        match groups.iter_mut().find(together) {
            Some(group) => group.push(table),
            None => groups.push(vec![table]),
        }
    }
    // What reaches fewer stands deeper: a group reaches all that those it references reach.
    groups.sort_by_key(|group| reaches[group[0]].iter().filter(|reached| **reached).count());
    groups
}

/// Which table references which, over any number of others; each reaches itself.
fn reaches(tables: usize, edges: &[(usize, usize)]) -> Vec<Vec<bool>> {
    let mut reaches = vec![vec![false; tables]; tables];
    for (table, row) in reaches.iter_mut().enumerate() {
        row[table] = true;
    }
    for (from, to) in edges {
        reaches[*from][*to] = true;
    }
    for over in 0..tables {
        for from in 0..tables {
            if reaches[from][over] {
                let further = reaches[over].clone();
                for (to, reached) in further.into_iter().enumerate() {
                    reaches[from][to] |= reached;
                }
            }
        }
    }
    reaches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_referenced_comes_first() {
        // 0 references 1, 1 references 2, 3 references 0 and 2.
        let chain = groups(4, &[(0, 1), (1, 2), (3, 0), (3, 2)]);
        assert_eq!(chain, [vec![2], vec![1], vec![0], vec![3]]);
    }

    #[test]
    fn a_cycle_is_one_group_and_a_self_reference_is_none() {
        let cycle = groups(4, &[(0, 1), (1, 0), (2, 2), (3, 1)]);
        assert_eq!(cycle, [vec![2], vec![0, 1], vec![3]]);
        assert_eq!(groups(0, &[]), Vec::<Vec<usize>>::new());
    }
}
